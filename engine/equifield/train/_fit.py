"""The training loop."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..rollout import RESULTS

M = TypeVar("M", bound=eqx.Module)
T = TypeVar("T")
Loss = Callable[[Any, Any], Float[Array, ""]]


@dataclass(frozen=True)
class Epoch:
    """The mean losses of one pass over the data; `validation` is None without validation data."""

    training: float
    validation: float | None


@dataclass(frozen=True)
class Fit:
    """The trained model, the losses of every epoch, and how training ended.

    The model is the one of the epoch with the lowest validation loss (training loss without validation data).
    """

    model: Any
    epochs: tuple[Epoch, ...]
    result: RESULTS


def fit(
    model: M,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    data: Any,
    *,
    epochs: int,
    batch_size: int,
    validation: Any = None,
    patience: int | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    devices: Sequence[jax.Device] | None = None,
    key: PRNGKeyArray,
) -> Fit:
    """Minimises a loss by an optimiser; the same key gives the same model.

    Every sample is used in every epoch, the last and smaller batch too. The optimiser sees the weights alone: kernel
    bases are constants. Training ends early when a loss is no longer a number, with the best model before that.

    **Arguments:**

    - model: any `eqx.Module`.
    - loss: from the model and a batch of `data` to the mean loss of the batch.
    - optimiser: any optax transformation.
    - data, validation: arrays or images, in any pytree, whose first axis counts the samples.
    - epochs: the number of passes over the data.
    - batch_size: the number of samples per step.
    - patience: ends training after so many epochs in which the loss that counts has not improved.
    - on_epoch: called after each epoch with its number and losses: a log, a progress bar, a checkpoint.
    - devices: the devices among which each batch is divided, such as `jax.devices()`; each holds the whole model. A
        batch that does not divide evenly is computed whole by all. One device by default.
    - key: randomness of the order of the samples.

    **Raises:** `ValueError` for data without samples, or whose parts have different numbers of them.
    """
    samples = _samples(data)
    if validation is not None:
        _samples(validation)
    if min(epochs, batch_size) < 1:
        raise ValueError(f"`fit` needs at least one epoch and one sample per batch, not {epochs} and {batch_size}.")
    take = functools.partial(_take, devices)
    step, evaluate = _step(loss, optimiser), eqx.filter_jit(loss)
    model = _placed(model, devices)
    state = _placed(optimiser.init(eqx.filter(model, eqx.is_inexact_array)), devices)
    best, lowest, since, history = model, math.inf, 0, list[Epoch]()
    for number, subkey in enumerate(jr.split(key, epochs)):
        losses = []
        for chosen in _batches(np.asarray(jr.permutation(subkey, samples)), batch_size):
            model, state, value = step(model, state, take(data, chosen))
            losses.append((float(value), len(chosen)))
        epoch = Epoch(
            _mean(losses), None if validation is None else _validate(evaluate, model, validation, batch_size, take)
        )
        history.append(epoch)
        if on_epoch is not None:
            on_epoch(number, epoch)
        counts = epoch.training if epoch.validation is None else epoch.validation
        if not (math.isfinite(epoch.training) and math.isfinite(counts)):
            return Fit(best, tuple(history), RESULTS.diverged)
        best, lowest, since = (model, counts, 0) if counts < lowest else (best, lowest, since + 1)
        if patience is not None and since >= patience:
            break
    return Fit(best, tuple(history), RESULTS.completed)


def _step(loss: Loss, optimiser: optax.GradientTransformation) -> Callable[..., tuple[Any, Any, Array]]:
    @eqx.filter_jit
    def step(model: Any, state: optax.OptState, batch: Any) -> tuple[Any, optax.OptState, Array]:
        value, gradient = eqx.filter_value_and_grad(loss)(model, batch)
        updates, state = optimiser.update(gradient, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state, value

    return step


def _validate(
    evaluate: Loss, model: Any, data: Any, batch_size: int, take: Callable[[Any, Int[np.ndarray, " batch"]], Any]
) -> float:
    batches = _batches(np.arange(_samples(data)), batch_size)
    return _mean([(float(evaluate(model, take(data, chosen))), len(chosen)) for chosen in batches])


def _samples(data: Any) -> int:
    counts = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(data)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"Data needs samples along one first axis of all its arrays; their first axes are {counts}.")
    return int(counts.pop())


def _batches(order: Int[np.ndarray, " samples"], size: int) -> Iterator[Int[np.ndarray, " batch"]]:
    return (order[start : start + size].astype(np.int32) for start in range(0, len(order), size))


def _take(devices: Sequence[jax.Device] | None, data: Any, chosen: Int[np.ndarray, " batch"]) -> Any:
    """The chosen samples, divided among the devices, or whole on each where there is not an equal share for all."""
    even = devices is not None and len(chosen) % len(devices) == 0
    return _placed(jax.tree.map(lambda leaf: leaf[chosen], data), devices, *["batch"] * even)


def _placed(tree: T, devices: Sequence[jax.Device] | None, *axes: str) -> T:
    """A pytree on some devices: whole on each, or its first axis, `batch`, divided among them."""
    if devices is None:
        return tree
    partition = PartitionSpec(*axes)  # type: ignore[no-untyped-call]
    placed: T = eqx.filter_shard(tree, NamedSharding(Mesh(np.array(devices), ("batch",)), partition))
    return placed


def _mean(losses: list[tuple[float, int]]) -> float:
    return sum(value * count for value, count in losses) / sum(count for _, count in losses)
