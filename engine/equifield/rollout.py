"""Autoregressive rollout: a model that predicts the next states from the past ones, applied again and again.

A history and a trajectory are MultiImages whose first batch axis is time, oldest state first.
"""

import functools
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .multi_image import MultiImage, block_features, from_block_features
from .ops import concatenate

Model = Callable[[MultiImage], MultiImage]

WRITTEN_OUT = 8
"""Up to so many calls of a model are compiled one after the other, as in training, and not as a loop.

XLA arranges the gradients of convolutions for the CPU only outside of loops (`benchmarks/NOTES.md`).
"""


class RESULTS(eqx.Enumeration):
    """How a trajectory ended; each value is the sentence to show. Compare as in `result == RESULTS.diverged`."""

    completed: "RESULTS" = ""  # type: ignore[assignment]
    diverged: "RESULTS" = (
        "A state became non-finite: `steps_completed` counts the finite states before it; "  # type: ignore[assignment]
        "it and all later ones are NaN. Roll out fewer steps, or train the model over several steps."
    )


class Rollout(eqx.Module):
    """The predicted states, and how far each trajectory came.

    - states: `(steps, *batch, *grid, features)`; NaN from the first state on that is not finite everywhere.
    - result: `RESULTS.completed` or `RESULTS.diverged`, for each trajectory of the batch.
    - steps_completed: the number of finite states of each trajectory.
    - history: the last past states, `(past, *batch, *grid, features)`, from which another `rollout` goes on.
    """

    states: MultiImage
    result: RESULTS
    steps_completed: Int[Array, "*batch"]
    history: MultiImage


def model_input(history: MultiImage, constants: MultiImage | None = None) -> MultiImage:
    """What a model with this many past steps takes: the past states side by side, then the constant fields.

    `(past, *batch, *grid)` of type t becomes `(*batch, *grid)` of type `t.scaled(past)`, plus that of the constants.
    Within a representation the channels are ordered `(field, time)`, time fastest, oldest first, and those of the
    constants come last. The same order holds for a model that gives several steps, so this function also packs the
    targets of its training.

    **Arguments:**

    - history: the states, time first, oldest first.
    - constants: fields that stay as they are, such as orography; with the batch of the states or the last axes of it.

    **Raises:** `ValueError` for a history without a time axis, and for constants on another grid, boundary or batch.
    """
    batch = _batch_of(history)
    blocks = {}
    for representation in history.field_type.representations:
        fields = jnp.moveaxis(block_features(history, representation), 0, -2)
        blocks[representation] = fields.reshape(*batch, *history.grid, -1, fields.shape[-1])
    states = from_block_features(blocks, history)
    if constants is None:
        return states
    if constants.batch != batch[len(batch) - len(constants.batch) :]:
        raise ValueError(
            f"Constant fields have the batch axes of the states, {batch}, or the last of these, but not "
            f"{constants.batch}."
        )
    shape = (*batch, *constants.grid, constants.array.shape[-1])
    return concatenate(states, constants.with_array(jnp.broadcast_to(constants.array, shape)))


def next_states(
    model: Model, history: MultiImage, constants: MultiImage | None = None, *, residual: bool = False
) -> MultiImage:
    """One call of the model: the states that follow a history, `(future, *batch, *grid, features)`.

    A model that gives `t.scaled(f)` for states of type t predicts f steps at once, ordered as in `model_input`.

    **Arguments:**

    - model: from `model_input` to the next state, or the next f states.
    - history, constants: as in `model_input`.
    - residual: whether the model predicts each state's difference from the one before it.

    **Raises:** `ValueError` when the model gives another type, grid, batch, boundary or precision.
    """
    output = model(model_input(history, constants))
    states = _steps_of(output, history)
    if residual:
        states = states.with_array(history.array[-1] + jnp.cumsum(states.array, axis=0))
    return states


def rollout(
    model: Model,
    history: MultiImage,
    *,
    steps: int,
    constants: MultiImage | None = None,
    residual: bool = False,
    checkpoint: bool = True,
) -> Rollout:
    """Predicts `steps` states from a history, each from those before it.

    One compiled loop for any number of steps. Commutes with everything that the model commutes with. A trajectory
    of which a state is not finite everywhere has ended there: it stays NaN, the others of the batch go on.
    Differentiable; gradients with respect to what a diverged trajectory shares with others are NaN.

    **Arguments:**

    - model: from `model_input(history, constants)` to the next state, or the next f states (see `next_states`).
    - history: the past states, `(past, *batch, *grid, features)`, oldest first; as many as the model takes.
    - steps: the number of states to predict; with f states per call, what the last call gives too many is dropped.
    - constants: fields that the model takes besides the states, the same at every step.
    - residual: whether the model predicts each state's difference from the one before it.
    - checkpoint: whether a gradient computes each step a second time instead of keeping what it computed, so that
        its memory grows with the size of the states alone.

    **Raises:** `ValueError` when the model does not give the type, grid, batch, boundary and precision of the states.
    """
    if steps < 1:
        raise ValueError(f"`rollout` needs at least one step, not {steps}.")
    predicted: Rollout = _rollout(model, history, constants, steps, residual, checkpoint, exact=False)
    return predicted


def rollout_chunks(
    model: Model,
    history: MultiImage,
    *,
    steps: int,
    chunk: int,
    constants: MultiImage | None = None,
    residual: bool = False,
) -> Iterator[Rollout]:
    """The same states as `rollout`, in pieces of `chunk` steps as they are ready; the last piece may be shorter.

    Compiles once, whatever `steps` is, and holds no more than a piece in memory. `result` and `steps_completed` are
    those of the piece: of a trajectory that diverged before, it has completed no step.

    **Raises:** `ValueError` as `rollout`, and when `chunk` is not a multiple of the steps that one call gives.
    """
    if steps < 1 or chunk < 1:
        raise ValueError(f"`rollout_chunks` needs at least one step and one per chunk, not {steps} and {chunk}.")
    for start in range(0, steps, chunk):
        piece = _rollout(model, history, constants, chunk, residual, checkpoint=True, exact=True)
        yield piece if start + chunk <= steps else _first(steps - start, piece.states, history)
        history = piece.history


@eqx.filter_jit(inline=True)  # type: ignore[call-overload,untyped-decorator]
def _rollout(
    model: Model,
    history: MultiImage,
    constants: MultiImage | None,
    steps: int,
    residual: bool,
    checkpoint: bool,
    exact: bool,
) -> Rollout:
    """A scan over calls of the model; `exact` refuses steps that a whole number of calls does not give."""

    def call(past: MultiImage, _: None) -> tuple[MultiImage, Float[Array, "future *batch_grid features"]]:
        states = next_states(model, past, constants, residual=residual)
        finite = _finite(past).all(axis=0) & jnp.cumprod(_finite(states), axis=0, dtype=bool)
        finite = finite.reshape(*finite.shape, *(1,) * (states.ndim + 1))
        array = jnp.where(finite, states.array, jnp.nan)
        return _latest(past, array), array

    future = eqx.filter_eval_shape(next_states, model, history, constants).batch[0]
    if exact and steps % future:
        raise ValueError(
            f"A model that gives {future} steps per call fills chunks of a multiple of {future} steps, not {steps}. "
            f"Use {-(-steps // future) * future}."
        )
    body = jax.checkpoint(call, prevent_cse=False) if checkpoint else call
    calls = -(-steps // future)
    if exact or calls > WRITTEN_OUT:
        last, arrays = jax.lax.scan(body, history, length=calls)
    else:
        last, pieces = history, []
        for _ in range(calls):
            last, piece = body(last, None)
            pieces.append(piece)
        arrays = jnp.stack(pieces)
    states = history.with_array(arrays.reshape(-1, *history.array.shape[1:]))
    return _first(steps, states, history) if steps % future else _ended(states, last)


def _first(steps: int, states: MultiImage, history: MultiImage) -> Rollout:
    """The rollout that ends after `steps` of these states, which follow this history."""
    states = states.with_array(states.array[:steps])
    return _ended(states, _latest(history, states.array))


def _ended(states: MultiImage, history: MultiImage) -> Rollout:
    """The rollout of these states, the last of which are this history.

    Where a loop has ended, that is what it carried: compiled, the states may be rounded in another way, and what goes
    on from them would not be what a longer loop computes.
    """
    completed = _finite(states).sum(axis=0)
    ended = functools.partial(RESULTS.where, a=RESULTS.completed, b=RESULTS.diverged)
    for _ in completed.shape:
        ended = jax.vmap(ended)
    return Rollout(states, ended(completed == len(states.array)), completed, history)


def _latest(history: MultiImage, array: Float[Array, "future *batch_grid features"]) -> MultiImage:
    """The history after these states have been added to it."""
    return history.with_array(jnp.concatenate((history.array, array))[-history.batch[0] :])


def _finite(states: MultiImage) -> Bool[Array, "time ..."]:
    """Whether each state is finite everywhere."""
    return jnp.isfinite(states.array).all(axis=(*states.grid_axes, -1))


def _batch_of(history: MultiImage) -> tuple[int, ...]:
    """The batch axes of a history behind its time axis. **Raises** `ValueError` without at least one state."""
    if not history.batch or not history.batch[0]:
        raise ValueError(
            f"A history has the shape (past, *batch, *grid, features) with at least one past state, but this one has "
            f"the batch axes {history.batch}. Give a single state a time axis of length 1."
        )
    return history.batch[1:]


def _steps_of(output: MultiImage, history: MultiImage) -> MultiImage:
    """A model's output as states in time, the inverse of `model_input`."""
    state = history.field_type
    representation = state.representations[0]
    future = output.field_type.channels(representation) // state.channels(representation)
    if not future or output.field_type != state.scaled(future):
        raise ValueError(
            f"A model that predicts states of {state} gives {state}, or that f times for f steps, but this one gives "
            f"{output.field_type}."
        )
    made, needed = ((x.array.shape[:-1], x.boundary, x.array.dtype) for x in (output, history))
    if made != (needed[0][1:], *needed[1:]):
        raise ValueError(
            f"A model in a rollout keeps batch, grid, boundary and precision: it took states of {needed[0][1:]} "
            f"{needed[1]} {needed[2]} and gave {made[0]} {made[1]} {made[2]}."
        )
    blocks = {}
    for representation, channels in state:
        fields = block_features(output, representation)
        fields = fields.reshape(*fields.shape[:-2], channels, future, fields.shape[-1])
        blocks[representation] = jnp.moveaxis(fields, -2, 0)
    return from_block_features(blocks, history)
