"""The log that is always written: a file of JSON lines."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ._log import Write
from .recipe import Recipe

LOG = "log.jsonl"


@contextmanager
def json_lines(folder: Path, recipe: Recipe, first: int) -> Iterator[Write]:
    """`log.jsonl`, a line for each epoch. Those that are trained again are written again."""
    with (folder / LOG).open("a+", encoding="utf-8", buffering=1) as file:
        file.seek(0)
        for _ in range(first):
            file.readline()
        file.truncate(file.tell())

        def write(epoch: int, values: Mapping[str, float]) -> None:
            file.write(json.dumps({"epoch": epoch, **values}) + "\n")

        yield write
