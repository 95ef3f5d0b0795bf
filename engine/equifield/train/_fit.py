"""The training loop."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int, PRNGKeyArray

from ..inference import Precision
from ..rollout import RESULTS
from ._checkpoints import Checkpoints
from ._state import Epoch, Loss, Progress, Step, initial_state, make_step
from .data import Samples, batches

M = TypeVar("M", bound=eqx.Module)
T = TypeVar("T")


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
    data: Samples,
    *,
    epochs: int,
    batch_size: int,
    validation: Samples | None = None,
    patience: int | None = None,
    average: float | None = None,
    precision: Precision = "float32",
    checkpoints: Checkpoints | None = None,
    on_step: Callable[[int, float], None] | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    devices: Sequence[jax.Device] | None = None,
    key: PRNGKeyArray,
) -> Fit:
    """Minimises a loss by an optimiser; the same key gives the same model, with interruptions or without.

    Every sample is used in every epoch, the last and smaller batch too. The optimiser sees the weights alone: kernel
    bases are constants. Training ends early when a loss is no longer a number, with the best model before that.

    **Arguments:**

    - model: any `eqx.Module`.
    - loss: from the model, a batch of `data` and the keyword `key` to the mean loss of the batch, such as `Forecast()`.
    - optimiser: any optax transformation: `optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))` clips
        gradients and follows a schedule, `optax.MultiSteps` accumulates them.
    - data, validation: what is trained on, and what is not.
    - epochs: the number of passes over the data.
    - batch_size: the number of samples per step.
    - patience: ends training after so many epochs in which the loss that counts has not improved.
    - average: the decay of an exponential moving average of the weights, such as 0.999; it is then the average that is
        validated and given back.
    - precision: of the products in the loss and its gradient (see `inference.in_precision`); weights, their updates
        and all sums stay in float32.
    - checkpoints: where training is kept; with some there already, it goes on from the newest.
    - on_step: called with the number of steps so far and the last loss known, while the device computes: a progress
        bar.
    - on_epoch: called with the number of every epoch and its losses: a log.
    - devices: the devices among which each batch is divided, such as `jax.devices()`; each holds the whole model. A
        batch that does not divide evenly is computed whole by all. One device by default.
    - key: randomness of the order of the samples, and of the loss.

    **Raises:** `ValueError` for data without samples; `OtherTraining` for checkpoints that are none of this training.
    """
    if min(epochs, batch_size) < 1 or not len(data):
        raise ValueError(
            f"`fit` needs at least one epoch, one sample per batch and one sample, not {epochs}, {batch_size} and "
            f"{len(data)}."
        )
    order, noise, fixed = jr.split(key, 3)
    step = make_step(loss, optimiser, average, precision, noise)
    evaluate = eqx.filter_jit(functools.partial(loss, key=fixed))
    progress = Progress(initial_state(model, optimiser, average is not None), model, [], [], 0)
    if checkpoints is not None:
        progress = checkpoints.restore(progress)
    progress.state, progress.best = _placed((progress.state, progress.best), devices)
    place = functools.partial(_divided, devices)
    while not progress.diverged and len(progress.epochs) < epochs and not _tired(progress, patience):
        number = len(progress.epochs)
        shuffled = np.asarray(jr.permutation(jr.fold_in(order, number), len(data)))
        training = _train(step, progress, data, shuffled, batch_size, place, checkpoints, on_step)
        epoch = Epoch(training, _validate(evaluate, progress.state.candidate, validation, batch_size, place))
        progress.end_epoch(epoch)
        if on_epoch is not None:
            on_epoch(number, epoch)
    if checkpoints is not None:
        checkpoints.save(progress)
    return Fit(progress.best, tuple(progress.epochs), RESULTS.diverged if progress.diverged else RESULTS.completed)


def _tired(progress: Progress, patience: int | None) -> bool:
    return patience is not None and progress.since >= patience


def _train(
    step: Step,
    progress: Progress,
    data: Samples,
    order: Int[np.ndarray, " samples"],
    batch_size: int,
    place: Callable[[Any, int], Any],
    checkpoints: Checkpoints | None,
    on_step: Callable[[int, float], None] | None,
) -> float:
    """The rest of an epoch. Returns the mean loss of all of it."""
    left = order[len(progress.losses) * batch_size :]
    for batch in batches(data, left, batch_size):
        size = min(batch_size, len(order) - len(progress.losses) * batch_size)
        progress.state, value = step(place(batch, size), progress.state)
        progress.losses.append((value, size))
        if len(progress.losses) < 2:
            continue
        before = float(progress.losses[-2][0])  # while the device computes this step
        if not math.isfinite(before):
            break
        if on_step is not None:
            on_step(len(progress.epochs) * -(-len(order) // batch_size) + len(progress.losses), before)
        if checkpoints is not None and checkpoints.due:
            checkpoints.save(progress)
    return _mean(progress.losses)


def _validate(
    evaluate: Loss, model: Any, data: Samples | None, batch_size: int, place: Callable[[Any, int], Any]
) -> float | None:
    if data is None:
        return None
    losses = []
    for number, batch in enumerate(batches(data, np.arange(len(data)), batch_size)):
        size = min(batch_size, len(data) - number * batch_size)
        losses.append((evaluate(model, place(batch, size)), size))
    return _mean(losses)


def _divided(devices: Sequence[jax.Device] | None, batch: Any, size: int) -> Any:
    """A batch divided among the devices, or whole on each where there is not an equal share for all."""
    even = devices is not None and size % len(devices) == 0
    return _placed(batch, devices, *["batch"] * even)


def _placed(tree: T, devices: Sequence[jax.Device] | None, *axes: str) -> T:
    """A pytree on some devices: whole on each, or its first axis, `batch`, divided among them."""
    if devices is None:
        return tree
    partition = PartitionSpec(*axes)  # type: ignore[no-untyped-call]
    placed: T = eqx.filter_shard(tree, NamedSharding(Mesh(np.array(devices), ("batch",)), partition))
    return placed


def _mean(losses: Sequence[tuple[Any, int]]) -> float:
    return sum(float(value) * count for value, count in losses) / sum(count for _, count in losses)
