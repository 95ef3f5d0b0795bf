"""Losses measure what they say, and training is deterministic."""

import functools
import math
from collections.abc import Callable

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
from equifield.ops import act
from equifield.representations import scalar, vector
from equifield.rollout import RESULTS
from equifield.train import fit, normalised_smse, nrmse, nrmse_per_pixel, smse

Keys = Callable[[], PRNGKeyArray]
Loss = Callable[[MultiImage, MultiImage], Array]
FIELDS = FieldType.parse("2x scalar + 1x vector")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
every_loss = pytest.mark.parametrize(
    "loss", [smse, normalised_smse, nrmse, nrmse_per_pixel], ids=lambda loss: loss.__name__
)
B2 = hyperoctahedral(2)


def pair(getkey: Keys) -> tuple[MultiImage, MultiImage]:
    first, second = (random_image(FIELDS, TORUS, (4, 6), batch=(3,), key=getkey()) for _ in range(2))
    return first, second


@every_loss
def test_a_loss_is_one_number_per_sample_and_invariant(loss: Loss, getkey: Keys) -> None:
    x, y = pair(getkey)
    value = loss(x, y)
    assert value.shape == (3,)
    for g in B2.elements[:4:3]:
        np.testing.assert_allclose(loss(act(g, x), act(g, y)), value, rtol=1e-5)
    np.testing.assert_allclose(loss(x, x), 0)


def test_the_losses_are_what_the_literature_writes(getkey: Keys) -> None:
    x, y = pair(getkey)
    s, v = (np.asarray(x[rho] - y[rho], np.float64) for rho in (scalar, vector))
    np.testing.assert_allclose(smse(x, y), (s**2).mean((1, 2)).sum(-1) + (v**2).mean((1, 2)).sum((-1, -2)), rtol=1e-5)
    t, w = (np.asarray(y[rho], np.float64) for rho in (scalar, vector))
    ratios = np.concatenate([s**2 / (t**2 + 1e-5), ((v**2).sum(-1) / ((w**2).sum(-1) + 1e-5))], -1)
    np.testing.assert_allclose(normalised_smse(x, y), ratios.mean((1, 2)).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(nrmse_per_pixel(x, y), np.sqrt(ratios).mean((1, 2, 3)), rtol=1e-4)
    errors = np.concatenate([(s**2).mean((1, 2)), (v**2).sum(-1).mean((1, 2))], -1)
    sizes = np.concatenate([(t**2).mean((1, 2)), (w**2).sum(-1).mean((1, 2))], -1)
    np.testing.assert_allclose(nrmse(x, y), np.sqrt(errors / sizes).mean(-1), rtol=1e-4)


def test_the_error_of_each_step_of_a_trajectory_is_the_same_call(getkey: Keys) -> None:
    x, y = (random_image(FIELDS, TORUS, (4, 4), batch=(5, 2), key=getkey()) for _ in range(2))
    per_step = smse(x, y)
    assert per_step.shape == (5, 2)
    np.testing.assert_allclose(per_step[3], smse(x.with_array(x.array[3]), y.with_array(y.array[3])), rtol=1e-6)


def test_fields_are_paired_by_type_not_by_the_order_they_were_given(getkey: Keys) -> None:
    u, p = jr.normal(getkey(), (4, 4, 1, 2)), jr.normal(getkey(), (4, 4, 1))
    x = MultiImage.from_fields({vector: u, scalar: p}, TORUS)
    y = MultiImage.from_fields({scalar: p, vector: u}, TORUS)
    assert float(smse(x, y)) == 0
    with pytest.raises(ValueError, match="type, grid and boundary agree"):
        smse(x, MultiImage.from_fields({scalar: p}, TORUS))


@every_loss
def test_a_field_that_vanishes_gives_finite_losses_and_gradients(loss: Loss, getkey: Keys) -> None:
    x, _ = pair(getkey)
    for prediction in (x, x * 0.0):
        value, gradient = jax.value_and_grad(lambda array, x=prediction: jnp.sum(loss(x.with_array(array), x * 0.0)))(
            prediction.array
        )
        assert np.isfinite(value) and np.isfinite(gradient).all()


def squares(model: Conv, batch: tuple[MultiImage, MultiImage]) -> Float[Array, ""]:
    x, y = batch
    return jnp.mean(smse(model(x), y))


def problem() -> tuple[Conv, tuple[MultiImage, MultiImage], tuple[MultiImage, MultiImage]]:
    """A convolution to be found from seven samples, and two to validate on: fewer than a batch."""
    truth, start = (Conv(B2, FIELDS, FIELDS, use_bias=False, key=jr.key(seed)) for seed in (1, 2))
    x = random_image(FIELDS, TORUS, (6, 6), batch=(9,), key=jr.key(3))
    y = truth(x)
    first, last = ((x.with_array(x.array[s]), y.with_array(y.array[s])) for s in (slice(7), slice(7, None)))
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
    assert math.isclose(float(squares(runs[0].model, validation)), min(losses), rel_tol=1e-4)


def test_every_sample_counts_in_every_epoch() -> None:
    start, data, _ = problem()
    seen: list[int] = []

    def loss(model: Conv, batch: tuple[MultiImage, MultiImage]) -> Float[Array, ""]:
        jax.debug.callback(lambda n: seen.append(int(n)), batch[0].array.shape[0])
        return squares(model, batch)

    frozen = fit(start, loss, optax.sgd(0.0), data, epochs=2, batch_size=3, key=jr.key(0))
    jax.effects_barrier()  # type: ignore[no-untyped-call]
    assert seen == [3, 3, 1, 3, 3, 1]
    assert math.isclose(frozen.epochs[0].training, float(squares(start, data)), rel_tol=1e-5)


def test_a_batch_divided_among_devices_trains_the_same_model() -> None:
    start, data, validation = problem()
    shares: list[bool] = []

    def loss(model: Conv, batch: tuple[MultiImage, MultiImage]) -> Float[Array, ""]:
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
    start, (x, y), _ = problem()
    with pytest.raises(ValueError, match="one first axis of all its arrays"):
        train(start, optimiser=optax.sgd(0.0), data=(x, y.with_array(y.array[:2])), epochs=1, key=jr.key(0))
    with pytest.raises(ValueError, match="at least one epoch"):
        train(start, optimiser=optax.sgd(0.0), data=(x, y), epochs=0, key=jr.key(0))
