"""Elementwise functions, by name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Activation = Callable[[Float[Array, "..."]], Float[Array, "..."]]
"""An elementwise function. Layers keep it as a static field: give one function, not a new lambda for every layer."""


def _identity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return x


_NAMED: dict[str, Activation] = {
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "identity": _identity,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


def activation_named(name: str) -> Activation:
    """The activation that a configuration calls `name`. **Raises** `ValueError` with the names that exist."""
    if name not in _NAMED:
        raise ValueError(f"There is no activation named {name!r}. Named activations: {', '.join(_NAMED)}.")
    return _NAMED[name]
