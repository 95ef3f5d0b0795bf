import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equifield
from equifield import FieldType, MultiImage, equivariance_report
from equifield.groups import group_named
from equifield.multi_image import random_image
from equifield.nn import Upsample
from equifield.ops import act, translate
from equifield.symmetry import FieldFunction

FIELDS = FieldType.parse("1x scalar + 2x vector")


def image(boundary: tuple[equifield.multi_image.Boundary, ...] = ("periodic", "zero")) -> MultiImage:
    return random_image(FIELDS, boundary, (4, 6), batch=(2,), key=jax.random.key(0))


def shear(x: MultiImage) -> MultiImage:
    """Commutes with the identity alone: it stretches one component."""
    return x.with_array(x.array.at[..., 1].multiply(2.0))


def test_the_identity_passes_with_no_error_at_all() -> None:
    report = equivariance_report(lambda x: x, image(), group_named("B2"))
    assert report.passed
    assert (report.errors == 0).all()
    assert report.fields == ("scalar[0]", "vector[0]", "vector[1]")
    assert len(report.transformations) == 8 + 1


def test_a_broken_function_is_found_with_field_and_element() -> None:
    report = equivariance_report(shear, image(), group_named("B2"))
    element, field, error = report.worst
    assert not report.passed
    assert field == "vector[0]" and error > 0.1
    broken = next(g for g in group_named("B2") if str(g) == element)
    difference = act(broken.inverse(), shear(act(broken, image()))) - shear(image())
    np.testing.assert_allclose(report.residual, difference.array)


def test_a_function_may_refine_the_grid() -> None:
    """The control repeats pixels towards their upper ends alone: it commutes with translations, with no reflection."""
    torus = image(("periodic", "periodic"))
    finer = equivariance_report(Upsample((2, 2), method="linear"), torus, group_named("B2"))
    assert finer.passed and len(finer.transformations) == 8 + 2
    assert finer.grid == (4, 6) and finer.residual.shape[1:3] == (8, 12)

    def leaning(x: MultiImage) -> MultiImage:
        return translate(Upsample(2)(x), (1, 0))

    errors = equivariance_report(leaning, torus, group_named("flips2")).errors.max(axis=1)
    assert errors[0] == errors[-1] == errors[-2] == 0 and errors[1:-2].max() > 0.1


def test_a_result_that_is_not_a_number_fails() -> None:
    report = equivariance_report(lambda x: x * jnp.nan, image(), group_named("B2"))
    assert not report.passed
    assert report.to_dict()["worst"]["error"] is None


def test_a_field_that_vanishes_everywhere_has_no_error() -> None:
    assert equivariance_report(lambda x: x * 0.0, image(), group_named("B2")).passed


def test_a_vanishing_field_is_measured_against_the_others() -> None:
    """Rounding errors in a field that is zero by symmetry are no broken law; a real wind would be."""

    def leaking(size: float) -> FieldFunction:
        return lambda x: x.with_array(x.array.at[..., 1:].set(0.0).at[..., 1].set(size))

    assert equivariance_report(leaking(1e-8), image(), group_named("B2")).passed
    report = equivariance_report(leaking(1e-3), image(), group_named("B2"))
    assert not report.passed and report.worst[1] == "vector[0]"


def test_precisions_without_a_usual_tolerance_ask_for_one() -> None:
    half = image().with_array(image().array.astype(jnp.bfloat16))
    with pytest.raises(ValueError, match="no usual tolerance for bfloat16"):
        equivariance_report(lambda x: x, half, group_named("B2"))
    assert equivariance_report(lambda x: x, half, group_named("B2"), tolerance=0.1).passed


def test_walls_and_coarse_translations_are_said() -> None:
    report = equivariance_report(lambda x: x, image(), group_named("C4"), translation_step=2)
    assert "translation (2, 0)" in report.transformations
    assert report.caveats == (
        "translations along grid axes 1 are not measured: not periodic",
        "translations commute in steps of 2 pixels",
    )


def test_the_report_is_json_with_the_names_that_are_given() -> None:
    report = equivariance_report(shear, image(), group_named("C4")).to_dict(["pressure", "wind", "current"])
    assert json.loads(json.dumps(report)) == report
    assert report["worst"]["field"] == "wind"
    assert {row["field"] for row in report["rows"]} == {"pressure", "wind", "current"}
    assert report["passed"] is False and report["tolerance"] == 1e-5


def test_a_group_of_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="B3 acts on 3 axes, but the image has 2"):
        equivariance_report(lambda x: x, image(), group_named("B3"))
