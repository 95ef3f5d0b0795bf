"""What a log of a training is."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from .recipe import Recipe

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
