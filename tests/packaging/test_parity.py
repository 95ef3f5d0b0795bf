"""The table of what ginjax has: every row names a test that exists."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROWS = [
    line.strip("| ").split(" | ")
    for line in (REPOSITORY / "docs" / "parity.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| ginjax", "| | here"))
]


def defined(file: str, test: str) -> bool:
    path = REPOSITORY / "tests" / "engine" / file
    return path.exists() and re.search(rf"^def {test}\(", path.read_text(), re.MULTILINE) is not None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0])[:60])
def test_every_row_names_a_test_that_exists(row: list[str]) -> None:
    shown = row[-1]
    match = re.fullmatch(r"`((?:\w+/)?test_\w+\.py)::(test_\w+)`", shown)
    assert match is not None and defined(match[1], match[2]), shown


def test_a_test_that_does_not_exist_would_be_noticed() -> None:
    assert len(ROWS) > 70
    assert defined("test_ops.py", "test_a_quarter_turn_turns_positions_and_arrows")
    assert not defined("test_ops.py", "test_that_nobody_wrote")
