"""Where the losses of every epoch are written: a file of JSON lines, and what the user asks for beside it."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from .recipe import Recipe

LOG = "log.jsonl"

Write = Callable[[int, Mapping[str, float]], None]
"""Takes the number of an epoch and what there is to say of it, each value by its name."""


@runtime_checkable
class Log(Protocol):
    """A kind of log."""

    def __call__(self, folder: Path, recipe: Recipe, first: int) -> AbstractContextManager[Write]:
        """Opens the log of the run in a folder, which goes on with the epoch `first`.

        What was written of that epoch and later ones, before an interruption, is in the log once.
        """
        ...


class LogRefused(ValueError):
    """A log that cannot be opened."""


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


def logs_named(names: Collection[str]) -> list[Log]:
    """The JSON lines, and the logs of some names.

    **Raises:** `ImportError` for a log whose package is not installed, `ValueError` for a name that no log has.
    """
    return [json_lines, *map(_named, sorted(set(names)))]


def _named(name: str) -> Log:
    try:
        match name:
            case "tensorboard":
                from ._tensorboard import tensorboard

                return tensorboard
            case "wandb":
                from ._wandb import wandb

                return wandb
    except ImportError as error:
        raise ImportError(
            f"The log `{name}` needs a package that is not installed ({error}). "
            f"Install it with: pip install 'equifield[{name}]'"
        ) from error
    raise ValueError(f"There is no log {name!r}: the logs are tensorboard and wandb.")
