"""Fields on a periodic box, channels first as exponax has them, and how trajectories of them are saved."""

import math
from collections.abc import Callable
from typing import Any

import exponax
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray

SIDE = 2 * math.pi
"""The length of the box."""


def random_field(
    key: PRNGKeyArray, channels: int, ndim: int, points: int, band: tuple[int, int]
) -> Float[Array, "channels ..."]:
    """White noise of which the wavenumbers band[0] <= |k| <= band[1] are left, with root mean square 1."""
    noise = exponax.fft(jr.normal(key, (channels, *(points,) * ndim)), num_spatial_dims=ndim)
    size = jnp.linalg.norm(exponax.spectral.build_wavenumbers(ndim, points), axis=0)
    kept = jnp.where((size >= band[0]) & (size <= band[1]), noise, 0)
    field = exponax.ifft(kept, num_spatial_dims=ndim, num_points=points)
    scaled: Float[Array, "channels ..."] = field / root_mean_square(field)
    return scaled


def root_mean_square(field: Float[Array, "channels ..."]) -> Float[Array, ""]:
    """The root of the mean over the grid of the squared norm."""
    return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(field), axis=0)))


def coarse(field: Float[Array, "channels ..."], points: int) -> Float[Array, "channels ..."]:
    """The field on fewer points: wavenumbers below `points / 2` as they are, and no others."""
    fewer: Float[Array, "channels ..."] = exponax.map_between_resolutions(field, points)
    return fewer


def saved(
    advance: Callable[[Array], Array], save: Callable[[Array], Any], start: Array, spin_up: int, steps: int
) -> Any:
    """What is saved of `steps` states one interval apart, the first after `spin_up` intervals, along a first axis."""

    def body(state: Array, intervals: Int[Array, ""]) -> tuple[Array, Any]:
        state = jax.lax.fori_loop(0, intervals, lambda _, now: advance(now), state)
        return state, save(state)

    _, states = jax.lax.scan(body, start, jnp.ones(steps, int).at[0].set(spin_up))
    return states


def check_resolution(name: str, points: int, simulated: int, highest: int) -> None:
    """**Raises** `ValueError` unless solver and saved points resolve the highest wavenumber that is put in."""
    if simulated < points or 2 * highest >= points or 3 * (highest + 1) > simulated:
        raise ValueError(
            f"`{name}` saves {points} points per side of {simulated} simulated ones, so it resolves wavenumbers below "
            f"{min(points / 2, simulated / 3):g}, but {highest} is put in, or fewer points are simulated than saved."
        )
