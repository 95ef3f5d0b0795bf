"""The classical closure for sub-grid stress."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...multi_image import MultiImage
from ...operators import gradient
from ...representations import Tensor
from ..data import Samples, batches


def smagorinsky(velocity: MultiImage, *, coefficient: float, spacing: float) -> MultiImage:
    """The stress tau_ij = -2 (C d)^2 |S| S_ij of an eddy viscosity, symmetric and without trace.

    S is the traceless part of the rate of strain, (d_i u_j + d_j u_i) / 2, and |S| = sqrt(2 S_ij S_ij) (Smagorinsky,
    Monthly Weather Review 91, 1963).

    **Arguments:**

    - velocity: one vector, `(*batch, *grid)`.
    - coefficient: the constant C, about 0.1 to 0.2 in three-dimensional turbulence.
    - spacing: the distance d between pixels.
    """
    slopes = gradient(velocity, (spacing,) * velocity.ndim)[Tensor(2)]
    strain = _deviatoric((slopes + jnp.swapaxes(slopes, -1, -2)) / 2)
    size = jnp.sqrt(2 * jnp.sum(jnp.square(strain), axis=(-2, -1), keepdims=True))
    return MultiImage.from_fields({Tensor(2): -2 * (coefficient * spacing) ** 2 * size * strain}, velocity.boundary)


def deviatoric(stress: MultiImage) -> MultiImage:
    """The stress without its trace, which acts as a pressure."""
    return MultiImage.from_fields({Tensor(2): _deviatoric(stress[Tensor(2)])}, stress.boundary)


def fit_smagorinsky(samples: Samples, *, spacing: float) -> float:
    """The constant C of `smagorinsky` that fits the deviatoric stresses of samples (velocity, stress) best.

    The least squares over all pixels and components are those of C^2; where they would want it negative, as for a flow
    that gets more energy from small eddies than it gives, the best constant is 0.
    """
    along = squared = 0.0
    for velocity, stress in batches(samples, np.arange(len(samples)), batch_size=16):
        products = _products(velocity, stress, spacing)
        along, squared = along + float(products[0]), squared + float(products[1])
    return math.sqrt(max(along / squared, 0.0)) if squared else 0.0


@eqx.filter_jit
def _products(velocity: MultiImage, stress: MultiImage, spacing: float) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Of the stress with that of the closure whose constant is 1, and of this with itself."""
    unit = smagorinsky(velocity, coefficient=1.0, spacing=spacing).array
    return jnp.sum(deviatoric(stress).array * unit), jnp.sum(jnp.square(unit))


def _deviatoric(tensors: Float[Array, "*batch_grid_channels i j"]) -> Float[Array, "*batch_grid_channels i j"]:
    ndim = tensors.shape[-1]
    trace = jnp.trace(tensors, axis1=-2, axis2=-1)[..., None, None]
    return tensors - trace * jnp.eye(ndim, dtype=tensors.dtype) / ndim
