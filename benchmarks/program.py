"""What a worker runs, whatever library it was written with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Program:
    """Something ready to be timed: compiled, and run once.

    - run: returns when all is done.
    - arguments: fresh ones for each call, which may use them up; making them is not timed.
    - output: the arrays of what `run` has returned.
    - facts: figures known before any run, such as `temp_bytes`.
    """

    run: Callable[..., Any]
    arguments: Callable[[], tuple[Any, ...]]
    output: Callable[[Any], list[np.ndarray]]
    facts: dict[str, float]
