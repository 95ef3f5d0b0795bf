"""A model applied to what it gave, again and again: compiled for pieces of a rollout, computed piece by piece."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.stages import Compiled

from equifield.inference import CompiledRollout

from ..domain.errors import DeadlineExceeded
from ..scheduling import Array

Grid = tuple[int, ...]

PIECES = (10, 6, 1)
"""Steps of one program: more of them cost less to begin, and these divide what people thin by, tens and hours."""


@dataclass(frozen=True)
class Course:
    """What of a rollout is wanted: the states `every`, `2 * every`, ..., `steps`, within so many seconds."""

    steps: int
    every: int
    seconds: float

    @property
    def piece(self) -> int:
        """How many steps the program makes that this takes: the longest piece that ends with each wanted state.

        So a grid has three programs, whatever the lengths of its rollouts, and each holds ten states at most.
        """
        return next(piece for piece in PIECES if self.every % piece == 0)


class Rollouts:
    """A model compiled for pieces of a rollout. As of a `CompiledModel`, a program is compiled when it is needed."""

    def __init__(
        self,
        sizes: Callable[[Grid], list[int]],
        new: Callable[[Grid, int], CompiledRollout],
        constant: tuple[bool, ...],
    ):
        """Compiles nothing yet.

        Args:
            sizes: Of a grid, the batch sizes that there are programs for.
            new: Makes the program for a grid and one of its sizes.
            constant: Which features of a sample are constant fields.
        """
        self._sizes, self._new = sizes, new
        self._constant = np.array(constant)
        self._rollouts: dict[tuple[Grid, int], CompiledRollout] = {}

    @property
    def programs(self) -> dict[tuple[Grid, int], Compiled]:
        """What has been compiled so far, by grid and batch size."""
        return {key: rollout.program for key, rollout in list(self._rollouts.items())}

    def compile_for(self, grid: Grid, samples: int) -> None:
        """Compiles the program that takes so many samples on a grid, unless that has been done."""
        key = grid, self._size(grid, samples)
        if key not in self._rollouts:
            self._rollouts[key] = self._new(*key)

    def is_compiled_for(self, grid: Grid, samples: int) -> bool:
        """Whether so many samples on a grid can be rolled out without compiling."""
        return (grid, self._size(grid, samples)) in self._rollouts

    def __call__(self, array: Array, course: Course) -> Array:
        """The wanted states `(batch, frames, *grid, features)` that follow some samples `(batch, *grid, features)`.

        From the first state on that is not finite, they are NaN.

        Raises:
            DeadlineExceeded: its time is over. One piece may still be computed then.
        """
        features = np.count_nonzero(~self._constant)
        frames = np.empty((len(array), course.steps // course.every, *array.shape[1:-1], features), np.float32)
        grid, until = array.shape[1:-1], time.monotonic() + course.seconds
        size = self._size(grid, len(array))
        for start in range(0, len(array), size):
            rows = slice(start, start + size)
            self._roll(size, array[rows], frames[rows], course, until)
        return frames

    def _roll(self, size: int, array: Array, frames: Array, course: Course, until: float) -> None:
        """Begins each piece before it waits for the one before, whose state never leaves the device unless wanted."""
        program, pieces = self._rollouts[array.shape[1:-1], size], course.every // course.piece
        filled = np.concatenate([array, np.broadcast_to(array[-1:], (size - len(array), *array.shape[1:]))])
        constants = jax.device_put(filled.compress(self._constant, -1)) if self._constant.any() else None
        history: Array | jax.Array = filled.compress(~self._constant, -1)[np.newaxis]
        given: list[jax.Array] = []
        for number in range(course.steps // course.piece):
            piece = program(history, constants)
            history = piece.history.array
            given.append(piece.states.array)
            if number:
                _keep(given.pop(0), frames, number, pieces)
            if time.monotonic() > until:
                raise DeadlineExceeded(
                    f"The deadline passed after {number * course.piece} of {course.steps} steps. Ask for fewer, or "
                    f"allow more time with the header Equifield-Timeout-Ms."
                )
        _keep(given.pop(0), frames, course.steps // course.piece, pieces)

    def _size(self, grid: Grid, samples: int) -> int:
        """The smallest batch that holds so many samples, else the largest."""
        sizes = self._sizes(grid)
        return next((size for size in sizes if size >= samples), sizes[-1])


def _keep(state: jax.Array, frames: Array, number: int, pieces: int) -> None:
    """Waits for the state after so many pieces, `(1, batch, *grid, features)`, and keeps it if it is wanted."""
    if number % pieces:
        state.block_until_ready()
    else:
        frames[:, number // pieces - 1] = np.asarray(state)[0, : len(frames)]
