"""Dropout: whole fields, one draw per batch element, nothing in inference."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.groups import hyperoctahedral
from equifield.multi_image import Boundary, block_features, random_image
from equifield.nn import Dropout
from equifield.ops import act

Keys = Callable[[], PRNGKeyArray]
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
FIELDS = FieldType.parse("3x scalar + 2x vector + 1x tensor(2)")


def fields(key: PRNGKeyArray, batch: int = 4) -> MultiImage:
    return random_image(FIELDS, TORUS, (3, 4), batch=(batch,), key=key)


def test_a_field_is_kept_or_dropped_as_a_whole(getkey: Keys) -> None:
    x = fields(getkey())
    y = Dropout(0.4)(x, key=getkey())
    draws = []
    for rho in FIELDS.representations:
        before, after = (np.asarray(block_features(image, rho)) for image in (x, y))
        factor = after / before
        np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1, :1, :, :1], factor.shape), rtol=1e-6)
        draws.append(factor[:, 0, 0, :, 0])
    draw = np.concatenate(draws, axis=-1)
    assert {round(value, 4) for value in draw.ravel().tolist()} == {0.0, round(1 / 0.6, 4)}
    assert len(np.unique(draw, axis=0)) > 1  # batch elements differ


def test_the_mean_over_draws_is_the_input(getkey: Keys) -> None:
    x = fields(getkey(), batch=1)
    many = jax.vmap(lambda key: Dropout(0.3)(x, key=key).array)(jr.split(getkey(), 4000))
    np.testing.assert_allclose(many.mean(axis=0), x.array, atol=0.1)


def test_a_fixed_key_commutes_with_every_element_and_dropping_pixels_does_not(getkey: Keys) -> None:
    x, key = random_image(FIELDS, TORUS, (3, 3), batch=(4,), key=getkey()), getkey()
    pixels = eqx.nn.Dropout(0.4)
    worst = 0.0
    for g in hyperoctahedral(2):
        turned = act(g, x)
        np.testing.assert_array_equal(
            Dropout(0.4)(turned, key=key).array, act(g, Dropout(0.4)(x, key=key)).array, err_msg=str(g)
        )
        plain = pixels(turned.array, key=key) - act(g, x.with_array(pixels(x.array, key=key))).array
        worst = max(worst, float(jnp.linalg.norm(plain)))
    assert worst > 1.0


def test_inference_leaves_the_image_as_it_is(getkey: Keys) -> None:
    x, layer = fields(getkey()), Dropout(0.4)
    still = eqx.nn.inference_mode(layer)
    assert still(x) is x
    assert layer(x, inference=True) is x
    assert Dropout(0.0)(x) is x
    assert (still(x, key=getkey(), inference=False).array == 0).any()


def test_dropout_refuses_to_drop_everything_and_to_draw_without_a_key(getkey: Keys) -> None:
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match="at least 0 and less than 1"):
            Dropout(rate)
    with pytest.raises(ValueError, match="needs `key=...`"):
        Dropout(0.5)(fields(getkey()))
