"""What XLA compiles is what was written: releases that get sums wrong are not ours to work with."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import Array, Float


def summed(u: Float[Array, "k n"], v: Float[Array, "i k n"]) -> Float[Array, "i n"]:
    return jnp.sum(u * v, axis=1)


@pytest.mark.parametrize("points", [4096, 16384, 65536])
def test_a_compiled_sum_of_products_is_the_sum(points: int) -> None:
    first, second = jr.split(jr.key(0))
    u, v = np.asarray(jr.normal(first, (3, points))), np.asarray(jr.normal(second, (3, 3, points)))
    np.testing.assert_allclose(jax.jit(summed)(u, v), np.sum(u * v, axis=1), rtol=1e-4, atol=1e-5)


def test_a_product_of_many_axes_is_compiled_and_run() -> None:
    u, v = (np.asarray(jr.normal(jr.key(seed), (3, 1, 2, 2, 8, 8, 8))) for seed in (0, 1))
    np.testing.assert_allclose(
        jax.jit(lambda a, b: jnp.sum(a * b, axis=3))(u, v), np.sum(u * v, axis=3), rtol=1e-4, atol=1e-5
    )
