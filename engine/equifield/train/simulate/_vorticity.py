"""Two-dimensional incompressible flow, by its vorticity."""

import exponax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._periodic import SIDE, random_field, root_mean_square


def velocity_of(vorticity: Float[Array, "1 x y"]) -> Float[Array, "2 x y"]:
    """The velocity without divergence and mean whose curl, dv/dx - du/dy, is this vorticity."""
    points = vorticity.shape[-1]
    derivative = exponax.spectral.build_derivative_operator(2, SIDE, points)
    laplacian = exponax.spectral.build_laplace_operator(derivative)
    spectrum = exponax.fft(vorticity, num_spatial_dims=2)
    stream = jnp.where(laplacian == 0, 0, -spectrum / jnp.where(laplacian == 0, 1, laplacian))
    turned = jnp.concatenate([derivative[1:2], -derivative[0:1]])
    velocity: Float[Array, "2 x y"] = exponax.ifft(turned * stream, num_spatial_dims=2, num_points=points)
    return velocity


def random_vorticity(key: PRNGKeyArray, points: int, band: tuple[int, int]) -> Float[Array, "1 x y"]:
    """Random vorticity in a band of wavenumbers, whose velocity has the root mean square 1."""
    vorticity = random_field(key, 1, 2, points, band)
    return vorticity / root_mean_square(velocity_of(vorticity))


def navier_stokes(
    points: int, step: float, viscosity: float, drag: float = 0.0
) -> exponax.stepper.NavierStokesVorticity:
    """exponax's solver, whose state is minus the vorticity: it moves with the velocity (d/dy, -d/dx) lap^-1 state."""
    return exponax.stepper.NavierStokesVorticity(2, SIDE, points, step, diffusivity=viscosity, drag=-drag, order=4)
