"""Losses measure what they say, in every frame of reference."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import Array, PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.groups import hyperoctahedral
from equifield.multi_image import Boundary, random_image
from equifield.operators import divergence
from equifield.ops import act
from equifield.representations import scalar, vector
from equifield.train import divergence_smse, normalised_smse, nrmse, nrmse_per_pixel, smse, spectral_smse, weighted

Keys = Callable[[], PRNGKeyArray]
Loss = Callable[[MultiImage, MultiImage], Array]
FIELDS = FieldType.parse("2x scalar + 1x vector")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
every_loss = pytest.mark.parametrize(
    "loss",
    [smse, normalised_smse, nrmse, nrmse_per_pixel, spectral_smse, divergence_smse],
    ids=lambda loss: loss.__name__,
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


def test_the_spectral_loss_weighs_every_mode_by_its_wavenumber() -> None:
    x, y = np.meshgrid(np.arange(8.0) / 8, np.arange(4.0) / 8, indexing="ij")
    wave = np.cos(2 * np.pi * (2 * x + 2 * y))[..., None]
    field, nothing = (
        MultiImage(jnp.asarray(a, jnp.float32), FieldType.parse("scalar"), TORUS) for a in (wave, 0 * wave)
    )
    np.testing.assert_allclose(spectral_smse(field, nothing), (1 + 2**2 + 2**2) * smse(field, nothing), rtol=1e-5)


def test_the_divergence_loss_counts_what_flows_out_and_nothing_else(getkey: Keys) -> None:
    x, y = pair(getkey)
    flows = [MultiImage.from_fields({vector: image[vector]}, TORUS) for image in (x, y)]
    np.testing.assert_allclose(divergence_smse(x, y), smse(*map(divergence, flows)), rtol=1e-5)
    np.testing.assert_allclose(divergence_smse(x.with_array(x.array + 1), x), 0, atol=1e-8)
    scalars = MultiImage.from_fields({scalar: x[scalar]}, TORUS)
    with pytest.raises(ValueError, match="needs vectors or tensors"):
        divergence_smse(scalars, scalars)


def test_measures_add_by_their_weights(getkey: Keys) -> None:
    x, y = pair(getkey)
    np.testing.assert_allclose(weighted({smse: 2.0, nrmse: 0.5})(x, y), 2 * smse(x, y) + nrmse(x, y) / 2, rtol=1e-6)
