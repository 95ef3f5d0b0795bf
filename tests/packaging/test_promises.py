"""The table of what is promised of files: every row names tests that exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "payload.md"
_, SECTION = PAGE.read_text().split("## Promises, and the tests that hold them")
ROWS = [
    line.strip("| ").split(" | ")
    for line in SECTION.splitlines()
    if line.startswith("| ") and not line.startswith("| promise")
]


def defined(file: str, test: str) -> bool:
    path = TESTS / file
    return path.exists() and re.search(rf"^def {test}\(", path.read_text(), re.MULTILINE) is not None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0])[:60])
def test_every_promise_names_tests_that_exist(row: list[str]) -> None:
    promise, held_by = row
    named = [re.fullmatch(r"`([\w/]+\.py)::(test_\w+)`", shown) for shown in held_by.split(", ")]
    assert promise and named
    assert all(match is not None and defined(match[1], match[2]) for match in named), held_by


def test_a_test_that_does_not_exist_would_be_noticed() -> None:
    assert len(ROWS) > 40
    assert defined("service/payload/test_axes.py", "test_a_dimension_of_length_zero_is_refused")
    assert not defined("service/payload/test_axes.py", "test_that_nobody_wrote")
    assert not defined("service/payload/test_nowhere.py", "test_a_dimension_of_length_zero_is_refused")
