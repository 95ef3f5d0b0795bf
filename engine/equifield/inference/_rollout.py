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

Shape = jax.ShapeDtypeStruct


class CompiledRollout:
    """`chunk` steps of a rollout, compiled ahead of time; each call goes on from the history that the last one gave.

    - program: as JAX has it.
    """

    def __init__(self, program: Compiled, parameters: Any, history: Shape, constants: Shape | None):
        self.program = program
        self._parameters = parameters
        self._history, self._constants = history, constants

    def __call__(
        self,
        history: Float[Array | np.ndarray, "past batch *grid features"],
        constants: Float[Array | np.ndarray, "batch *grid constant_features"] | None = None,
    ) -> Rollout:
        """The next `chunk` states, or those of them that are kept; give the next call `.history.array` of the result.

        A history on the device is used up: its memory holds the next one. The constant fields are not.

        **Raises:** `ValueError` for a history, or constant fields, of another shape or precision.
        """
        _check("a history (past, batch, *grid, features)", self._history, history)
        _check("constant fields (batch, *grid, features)", self._constants, constants)
        piece: Rollout = self.program(self._parameters, history, constants)
        return piece


def compile_rollout(
    model: Model,
    field_type: FieldType,
    *,
    constants: FieldType | None = None,
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

    - model: from `model_input` of the history and the constant fields to the next state, or the next f states (see
        `rollout`).
    - field_type: the fields of one state.
    - constants: the fields that the model takes besides the states, if there are any: `(batch, *grid, features)`.
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

    def run(parameters: Any, array: Array, fixed: Array | None) -> Rollout:
        history = MultiImage(array, field_type, boundary)
        image = None if fixed is None or constants is None else MultiImage(fixed, constants, boundary)
        (piece,) = rollout_chunks(eqx.combine(parameters, static), history, steps=chunk, chunk=chunk, constants=image)
        states = piece.states.with_array(piece.states.array[every - 1 :: every])
        return Rollout(states, piece.result, piece.steps_completed, piece.history)

    history = _shape(past, batch, *grid, field_type.size(len(grid)))
    fixed = None if constants is None else _shape(batch, *grid, constants.size(len(grid)))
    program = ahead_of_time(in_precision(run, precision), parameters, history, fixed, donate=True)
    return CompiledRollout(program, parameters, history, fixed)


def _shape(*sides: int) -> Shape:
    return Shape(sides, jnp.float32)  # type: ignore[no-untyped-call]


def _check(what: str, needed: Shape | None, given: Array | np.ndarray | None) -> None:
    """**Raises** `ValueError` for an array of another shape or precision, or one too many or too few."""
    wanted, came = (None if array is None else (array.shape, array.dtype) for array in (needed, given))
    if wanted != came:
        raise ValueError(f"This rollout is compiled for {what} of {_said(wanted)}, not of {_said(came)}.")


def _said(array: tuple[tuple[int, ...], np.dtype] | None) -> str:
    return "none" if array is None else f"{array[0]} {array[1]}"
