"""What an operator is told is what the service is: settings, metrics, failures, dashboard."""

import json
import re
from typing import Any

import pytest

from equifield_service.domain.errors import DomainError, PayloadError, leaves
from equifield_service.metrics import Metrics
from equifield_service.settings import Settings
from scripts import operator_pages

DASHBOARD: dict[str, Any] = json.loads(operator_pages.DASHBOARD.read_text())
REMAKE = "run `python scripts/operator_pages.py`"


def test_the_page_is_what_the_script_writes_now() -> None:
    assert operator_pages.PAGE.read_text() == operator_pages.page(), REMAKE


def test_the_dashboard_is_what_the_script_writes_now() -> None:
    assert operator_pages.DASHBOARD.read_text() == operator_pages.dashboard(), REMAKE


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_on_the_page_in_its_own_words(name: str) -> None:
    (row,) = re.findall(rf"^\| `EQUIFIELD_{name.upper()}` \| (.+) \| (.+) \|$", operator_pages.page(), re.MULTILINE)
    assert row[1] == Settings.model_fields[name].description


@pytest.mark.parametrize("error", leaves(DomainError), ids=lambda error: error.code)
def test_every_failure_says_what_to_do(error: type[DomainError]) -> None:
    assert error.code in operator_pages.WAYS_OUT or issubclass(error, PayloadError), (
        f"say in scripts/operator_pages.py what `{error.code}` asks of client and operator"
    )


def test_no_way_out_is_of_an_error_that_does_not_exist() -> None:
    assert set(operator_pages.WAYS_OUT) <= {error.code for error in leaves(DomainError)}


def test_the_dashboard_shows_every_metric_and_none_that_is_not_exported() -> None:
    exposition = Metrics().exposition().decode()
    families = re.findall(r"^# TYPE (\w+) (\w+)$", exposition, re.MULTILINE)
    exported = {name for name, kind in families if not (kind == "gauge" and name.endswith("_created"))}
    shown = {
        re.sub(r"_bucket$", "", name)
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for name in re.findall(r"equifield_\w+", target["expr"])
    }
    assert shown == exported


def test_the_panels_do_not_overlap() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
