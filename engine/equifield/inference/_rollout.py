"""Ahead-of-time compilation of a rollout, in chunks."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Compiled
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..multi_image import Boundary, MultiImage
from ..rollout import Model, Rollout, rollout_chunks
from ._compile import ahead_of_time
from ._precision import Precision, in_precision


class CompiledRollout:
    """`chunk` steps of a rollout, compiled ahead of time; each call goes on from the history that the last one gave.

    - program: as JAX has it.
    """

    def __init__(self, program: Compiled, parameters: Any, shape: tuple[int, ...]):
        self.program = program
        self._parameters = parameters
        self._shape = shape

    def __call__(self, history: Float[Array | np.ndarray, "past batch *grid features"]) -> Rollout:
        """The next `chunk` states, or those of them that are kept; give the next call `.history.array` of the result.

        An array on the device is used up: its memory holds the next history.

        **Raises:** `ValueError` for a history of another shape or precision.
        """
        if history.shape != self._shape or history.dtype != np.float32:
            raise ValueError(
                f"This rollout is compiled for a history (past, batch, *grid, features) of {self._shape} float32, not "
                f"of {history.shape} {history.dtype}."
            )
        piece: Rollout = self.program(self._parameters, history)
        return piece


def compile_rollout(
    model: Model,
    field_type: FieldType,
    *,
    grid: tuple[int, ...],
    batch: int,
    boundary: tuple[Boundary, ...],
    past: int,
    chunk: int,
    every: int = 1,
    precision: Precision = "float32",
) -> CompiledRollout:
    """Compiles `chunk` steps of a rollout; one program makes trajectories of any length, with the same states.

    Holds one chunk in memory. A trajectory that diverged in an earlier chunk stays NaN and completes no step.

    **Arguments:**

    - model: from `model_input` of the history to the next state, or the next f states (see `rollout`).
    - field_type: the fields of one state.
    - grid, batch, boundary: of a state; `batch` trajectories are computed at once.
    - past: how many past states the model takes.
    - chunk: the number of steps of one call.
    - every: which states a call gives: the `every`-th, the `2 * every`-th, ...; only these leave the device.
    - precision: as in `compile_model`.

    **Raises:** `ValueError` as `rollout_chunks`, for an unknown precision, and when `chunk` is no multiple of `every`.
    """
    if every < 1 or chunk % every:
        raise ValueError(f"A chunk is a multiple of `every`, but {chunk} is none of {every}.")
    parameters, static = eqx.partition(model, eqx.is_array)

    def run(parameters: Any, array: Array) -> Rollout:
        history = MultiImage(array, field_type, boundary)
        (piece,) = rollout_chunks(eqx.combine(parameters, static), history, steps=chunk, chunk=chunk)
        states = piece.states.with_array(piece.states.array[every - 1 :: every])
        return Rollout(states, piece.result, piece.steps_completed, piece.history)

    shape = (past, batch, *grid, field_type.size(len(grid)))
    array = jax.ShapeDtypeStruct(shape, jnp.float32)  # type: ignore[no-untyped-call]
    program = ahead_of_time(in_precision(run, precision), parameters, array, donate=True)
    return CompiledRollout(program, parameters, shape)
