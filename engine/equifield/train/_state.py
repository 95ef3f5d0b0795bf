"""Where a training is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..inference import Precision, in_precision

Loss = Callable[..., Float[Array, ""]]
"""From a model, a batch and, as the keyword `key`, randomness to the mean loss of the batch."""

T = TypeVar("T")
Step = Callable[[Any, "State"], tuple["State", Float[Array, ""]]]
"""From a batch and a state to the next state and the loss of the batch."""


@dataclass(frozen=True)
class Epoch:
    """The mean losses of one pass over the data; `validation` is None without validation data."""

    training: float
    validation: float | None

    @property
    def counts(self) -> float:
        """The loss by which models are chosen: that of the validation data, if there are any."""
        return self.training if self.validation is None else self.validation


class State(eqx.Module):
    """What one step of the optimiser changes.

    - model: as it is trained.
    - average: its exponential moving average, or None.
    - optimiser: optax's state.
    - steps: how many there have been.
    """

    model: Any
    average: Any
    optimiser: optax.OptState
    steps: Int[Array, ""]

    @property
    def candidate(self) -> Any:
        """The model that is validated and, if it is the best, given back."""
        return self.model if self.average is None else self.average


def initial_state(model: Any, optimiser: optax.GradientTransformation, averaged: bool) -> State:
    """The state before the first step. Its arrays are copies: steps write where they were."""
    average = copied(model) if averaged else None
    return State(copied(model), average, optimiser.init(eqx.filter(model, eqx.is_inexact_array)), jnp.zeros((), int))


def make_step(
    loss: Loss, optimiser: optax.GradientTransformation, average: float | None, precision: Precision, key: PRNGKeyArray
) -> Step:
    """One compiled step of the optimiser. The state given to it is used up: its memory holds the next one."""

    @eqx.filter_jit(donate="all-except-first")
    def step(batch: Any, state: State) -> tuple[State, Float[Array, ""]]:
        trained, rest = eqx.partition(state.model, eqx.is_inexact_array)
        arrays, static = eqx.partition((rest, batch), eqx.is_array)

        def value_of(trained: Any, arrays: Any, subkey: PRNGKeyArray) -> Float[Array, ""]:
            fixed, batch = eqx.combine(arrays, static)
            return loss(eqx.combine(trained, fixed), batch, key=subkey)

        gradient = in_precision(jax.value_and_grad(value_of), precision)
        value, slope = gradient(trained, arrays, jr.fold_in(key, state.steps))
        updates, memory = optimiser.update(slope, state.optimiser, trained)
        model = eqx.combine(optax.apply_updates(trained, updates), rest)
        return State(model, _averaged(state, model, average), memory, state.steps + 1), value

    return step


def _averaged(state: State, model: Any, decay: float | None) -> Any:
    """The moving average after a step. Its memory grows from nothing to `decay`, so that it soon forgets the start."""
    if decay is None:
        return None
    remembered = jnp.minimum(decay, (1 + state.steps) / (10 + state.steps))

    def mean(old: Any, new: Any) -> Any:
        return (remembered * old + (1 - remembered) * new).astype(new.dtype) if eqx.is_inexact_array(new) else new

    return jax.tree.map(mean, state.average, model)


def copied(tree: T) -> T:
    """The same values in memory of their own."""
    duplicate: T = jax.tree.map(lambda leaf: jnp.array(leaf) if eqx.is_array(leaf) else leaf, tree)
    return duplicate


@dataclass
class Progress:
    """All that is needed to go on with a training, at any step of it.

    - state: of the optimiser.
    - best: the model of the epoch with the lowest loss that counts.
    - epochs: those that are over.
    - losses: of the batches of the present epoch that are over, each with its number of samples.
    - since: for how many epochs nothing has improved.
    """

    state: State
    best: Any
    epochs: list[Epoch]
    losses: list[tuple[Float[Array, ""] | float, int]]
    since: int

    @property
    def diverged(self) -> bool:
        """Whether the last epoch ended with a loss that is no number."""
        return bool(self.epochs) and not (
            math.isfinite(self.epochs[-1].training) and math.isfinite(self.epochs[-1].counts)
        )

    def end_epoch(self, epoch: Epoch) -> None:
        """Notes the losses of an epoch, keeps the model if it is the best so far, and begins the next one."""
        lowest = min((past.counts for past in self.epochs), default=math.inf)
        improved = math.isfinite(epoch.training) and epoch.counts < lowest
        self.best = copied(self.state.candidate) if improved else self.best
        self.since = 0 if improved else self.since + 1
        self.epochs.append(epoch)
        self.losses = []
