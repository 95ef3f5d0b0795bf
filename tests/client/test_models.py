"""What the service says, as typed values."""

import json
import math
from typing import Any

import pytest

from equifield_client import EquivarianceReport, EquivarianceRow, GridSpec, ModelInfo
from equifield_client._models import parse

Json = dict[str, Any]


def test_a_model_is_read_with_its_fields_grid_and_certificate(model_json: Json, report_json: Json) -> None:
    info = parse(ModelInfo, model_json)
    assert (info.name, info.version, info.versions, info.state) == ("wind-downscale-2d", "1", ("1",), "ready")
    assert [component.variable for component in info.inputs[0].components] == ["u", "v"]
    assert info.inputs[0].components[0].axes == ("x",)
    assert info.inputs[0].scale == 8.0
    assert info.grid == GridSpec(("x", "y"), ("periodic", "zero"), multiple=4, refinement=2, warm=((32, 32),))
    assert info.certificate == parse(EquivarianceReport, report_json)
    assert info.provenance == {"seed": 0}


def test_a_report_is_read(report_json: Json) -> None:
    report = parse(EquivarianceReport, report_json)
    assert report.passed is True
    assert report.grid == (32, 32)
    assert report.worst == EquivarianceRow("quarter turn", "wind", 2.5e-7)
    assert report.worst == max(report.rows, key=lambda row: row.error)


def test_keys_of_newer_services_are_ignored(report_json: Json) -> None:
    assert parse(EquivarianceReport, {**report_json, "colour": "blue"}) == parse(EquivarianceReport, report_json)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"group": None}, "`EquivarianceReport.group` must be of type str, but is 'None'"),
        ({"grid": "32"}, "`EquivarianceReport.grid` must be of type"),
        ({"passed": 1}, "`EquivarianceReport.passed` must be of type bool, but is '1'"),
        ({"worst": {"element": "e", "field": "f"}}, "`EquivarianceReport.worst` must have the key 'error'"),
        ({"rows": [7]}, r"`EquivarianceReport.rows\[0\]` must be of type EquivarianceRow"),
    ],
    ids=["null", "text-for-list", "int-for-bool", "missing-key", "wrong-item"],
)
def test_an_answer_of_another_form_is_refused_by_name(report_json: Json, change: Json, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(EquivarianceReport, {**report_json, **change})


def test_the_report_prints_one_line_per_element_one_column_per_field(report_json: Json) -> None:
    assert str(parse(EquivarianceReport, report_json)).splitlines() == [
        "element          wind  temperature",
        "identity      0.0e+00      0.0e+00",
        "quarter turn  2.5e-07      1.0e-07",
        "passed: B2 on 32 x 32, float32: worst 2.5e-07 (quarter turn, wind), tolerance 1.0e-05",
        "note: y has a zero boundary",
    ]


def test_a_model_that_cannot_be_read_is_still_listed() -> None:
    broken = {"name": "m", "version": "1", "versions": ["1"], "state": "failed", "reason": "digest", "grid": None}
    info = parse(ModelInfo, {**broken, "certificate": None, "provenance": None, "inputs": []})
    assert (info.state, info.reason, info.grid, info.inputs) == ("failed", "digest", None, ())


def test_an_error_that_is_not_finite_is_nan(report_json: Json) -> None:
    rows = [{"element": "half turn", "field": "wind", "error": None}]
    report = parse(EquivarianceReport, {**report_json, "rows": rows, "worst": rows[0], "passed": False})
    assert math.isnan(report.worst.error)
    assert "nan (half turn, wind)" in str(report)


def test_a_failed_report_says_so(report_json: Json) -> None:
    assert "FAILED: B2" in str(parse(EquivarianceReport, {**report_json, "passed": False}))


def test_values_are_frozen_and_hashable_by_value(report_json: Json) -> None:
    first, second = (parse(EquivarianceReport, json.loads(json.dumps(report_json))) for _ in range(2))
    assert hash(first) == hash(second)
    with pytest.raises(AttributeError):
        first.passed = False  # type: ignore[misc]
