"""Training is determined by its key, whatever interrupts it, and gives the best model it has seen."""

import functools
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from jaxtyping import Array, Float, PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.groups import hyperoctahedral
from equifield.kernels import kernel_basis
from equifield.multi_image import Boundary, random_image
from equifield.nn import Conv
from equifield.representations import vector
from equifield.rollout import RESULTS
from equifield.train import Checkpoints, OtherTraining, Regression, fit
from equifield.train.data import Arrays

FIELDS = FieldType.parse("2x scalar + 1x vector")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
B2 = hyperoctahedral(2)
squares = Regression()


def problem() -> tuple[Conv, Arrays, Arrays]:
    """A convolution to be found from seven samples, and two to validate on: fewer than a batch."""
    truth, start = (Conv(B2, FIELDS, FIELDS, use_bias=False, key=jr.key(seed)) for seed in (1, 2))
    x = random_image(FIELDS, TORUS, (6, 6), batch=(9,), key=jr.key(3))
    y = truth(x)
    first, last = (Arrays((x.with_array(x.array[s]), y.with_array(y.array[s]))) for s in (slice(7), slice(7, None)))
    return start, first, last


train = functools.partial(fit, loss=squares, batch_size=3)


def test_training_finds_the_filter_and_the_same_key_finds_the_same() -> None:
    start, data, validation = problem()
    optimiser = optax.adam(3e-2)
    runs = [
        train(start, optimiser=optimiser, data=data, validation=validation, epochs=40, key=jr.key(seed))
        for seed in (0, 0, 1)
    ]
    losses = [epoch.validation or math.inf for epoch in runs[0].epochs]
    assert runs[0].result == RESULTS.completed and len(runs[0].epochs) == 40
    assert losses[-1] < 1e-2 * losses[0]
    assert runs[0].epochs == runs[1].epochs and runs[0].epochs != runs[2].epochs
    assert math.isclose(float(squares(runs[0].model, jax.device_put(validation.tree))), min(losses), rel_tol=1e-4)


def test_every_sample_counts_in_every_epoch() -> None:
    start, data, _ = problem()
    seen: list[int] = []

    def loss(model: Conv, batch: tuple[MultiImage, MultiImage], *, key: PRNGKeyArray) -> Float[Array, ""]:
        jax.debug.callback(lambda n: seen.append(int(n)), batch[0].array.shape[0])
        return squares(model, batch)

    frozen = fit(start, loss, optax.sgd(0.0), data, epochs=2, batch_size=3, key=jr.key(0))
    jax.effects_barrier()  # type: ignore[no-untyped-call]
    assert seen == [3, 3, 1, 3, 3, 1]
    assert math.isclose(frozen.epochs[0].training, float(squares(start, jax.device_put(data.tree))), rel_tol=1e-5)


def test_a_batch_divided_among_devices_trains_the_same_model() -> None:
    start, data, validation = problem()
    shares: list[bool] = []

    def loss(model: Conv, batch: tuple[MultiImage, MultiImage], *, key: PRNGKeyArray) -> Float[Array, ""]:
        jax.debug.inspect_array_sharding(
            batch[0].array, callback=lambda sharding: shares.append(sharding.is_fully_replicated)
        )
        return squares(model, batch)

    both = jax.devices()[:2]
    assert len(both) == 2, "the fixtures ask for two"
    alone, divided = (
        fit(start, loss, optax.adam(3e-2), data, epochs=3, batch_size=4, validation=validation, devices=on, key=key)
        for on, key in ((None, jr.key(0)), (both, jr.key(0)))
    )
    assert shares.count(False) >= 2, "the batches of four and of two are divided"
    for one, other in zip(jax.tree.leaves(alone.model), jax.tree.leaves(divided.model), strict=True):
        assert other.sharding.device_set == set(both)
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    assert alone.epochs[-1].training == pytest.approx(divided.epochs[-1].training, rel=1e-4)


def test_training_stops_when_nothing_improves_and_keeps_the_best() -> None:
    start, data, validation = problem()
    told: list[int] = []
    frozen = train(
        start, optimiser=optax.sgd(0.0), data=data, validation=validation, epochs=9, patience=2, key=jr.key(0),
        on_epoch=lambda number, _: told.append(number),
    )  # fmt: skip
    assert told == [0, 1, 2] and frozen.result == RESULTS.completed


def test_a_loss_that_is_no_number_ends_training_with_the_best_model() -> None:
    start, data, _ = problem()
    wild = train(start, optimiser=optax.sgd(1e30), data=data, epochs=5, key=jr.key(0))
    assert wild.result == RESULTS.diverged and len(wild.epochs) < 5
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(wild.model))


def test_weight_decay_reaches_the_weights_and_never_the_basis() -> None:
    start, data, _ = problem()
    decayed = train(start, optimiser=optax.adamw(1e-2, weight_decay=0.1), data=data, epochs=2, key=jr.key(0)).model
    state = optax.adamw(1e-2).init(eqx.filter(start, eqx.is_inexact_array))
    weights = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(start, eqx.is_inexact_array)))
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == 2 * weights + 1
    basis = kernel_basis(B2, vector, vector, (3, 3)).filters.toarray()
    kernel = np.asarray(decayed.kernel())[..., 2:, 2:].reshape(-1)
    np.testing.assert_allclose(basis.T @ (basis @ kernel), kernel, atol=1e-6)


def test_data_without_one_number_of_samples_is_refused() -> None:
    start, data, _ = problem()
    x, y = jax.device_put(data.tree)
    with pytest.raises(ValueError, match="one first axis of all its arrays"):
        train(start, optimiser=optax.sgd(0.0), data=Arrays((x, y.with_array(y.array[:2]))), epochs=1, key=jr.key(0))
    with pytest.raises(ValueError, match="at least one epoch"):
        train(start, optimiser=optax.sgd(0.0), data=data, epochs=0, key=jr.key(0))


def test_the_average_of_the_weights_is_what_is_validated_and_given_back() -> None:
    start, data, validation = problem()
    once = functools.partial(fit, start, squares, optax.sgd(0.1), data, epochs=1, batch_size=7, key=jr.key(0))
    averaged, plain = once(average=0.5, validation=validation), once()
    for first, mean, last in zip(*map(jax.tree.leaves, (start, averaged.model, plain.model)), strict=True):
        np.testing.assert_allclose(mean, 0.1 * first + 0.9 * last, rtol=1e-5)  # (1 + 0) / (10 + 0) is remembered
    assert averaged.epochs[0].validation == pytest.approx(
        float(squares(averaged.model, jax.device_put(validation.tree))), rel=1e-5
    )


def test_accumulated_gradients_are_those_of_a_larger_batch() -> None:
    start, data, _ = problem()
    few = Arrays(jax.tree.map(lambda leaf: leaf[:6], data.tree))
    large = fit(start, squares, optax.sgd(0.1), few, epochs=1, batch_size=6, key=jr.key(0)).model
    steps = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=3)
    small = fit(start, squares, steps.gradient_transformation(), few, epochs=1, batch_size=2, key=jr.key(0)).model
    for one, other in zip(*map(jax.tree.leaves, (large, small)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_products_in_bfloat16_train_weights_of_float32() -> None:
    start, data, _ = problem()
    models = [
        train(start, optimiser=optax.sgd(0.1), data=data, epochs=2, precision=precision, key=jr.key(0)).model
        for precision in ("float32", "bfloat16")
    ]
    full, short = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model)]) for model in models)
    assert short.dtype == np.float32
    difference = np.abs(full - short).max()
    assert 0 < difference < 2e-2 * np.abs(full).max()


def noisy(model: Conv, batch: tuple[MultiImage, MultiImage], *, key: PRNGKeyArray) -> Float[Array, ""]:
    x, y = batch
    return squares(model, (x.with_array(x.array + 0.1 * jr.normal(key, x.array.shape)), y))


def long_training(folder: Path | None, on_step: Callable[[int, float], None] | None = None, **changed: Any) -> Any:
    start, data, validation = problem()
    checkpoints = None if folder is None else Checkpoints(folder, about={"seed": 0} | changed, every=0.0)
    return fit(
        start, noisy, optax.adam(1e-2), data, epochs=3, batch_size=2, validation=validation, average=0.9,
        checkpoints=checkpoints, on_step=on_step, key=jr.key(0),
    )  # fmt: skip


def kill_at(step: int) -> Callable[[int, float], None]:
    """Kills this process, as a machine that fails does, in an epoch after the first."""
    calls = iter(range(step))

    def on_step(number: int, loss: float) -> None:
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


def test_a_training_that_was_killed_goes_on_to_the_very_same_model(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "sys.path.insert(0, sys.argv[2]); from test_fit import kill_at, long_training; "
        "long_training(Path(sys.argv[1]), kill_at(5))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "killed"), str(Path(__file__).parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    assert subprocess.run(command, env=environment, timeout=120).returncode == -signal.SIGKILL
    resumed: list[int] = []
    whole, again = long_training(None), long_training(tmp_path / "killed", lambda number, _: resumed.append(number))
    assert 0 < len(resumed) < 9, "it went on from the middle"
    assert again.epochs == whole.epochs
    assert eqx.tree_equal(again.model, whole.model)
    with pytest.raises(OtherTraining, match="a training with another seed"):
        long_training(tmp_path / "killed", seed=1)
