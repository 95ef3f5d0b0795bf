"""How far a prediction is from its target: one number per sample, invariant under the group.

Every loss keeps the batch axes, so that the error of each step of a trajectory `(steps, *batch)` is the same call, and
a mean or maximum over any of them is the caller's. Fields are paired by type and channel, never by the order in which
they were written.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..multi_image import MultiImage, block_features
from ..ops import root, squared_norm

EPS = 1e-5
"""Added to a target's mean square before dividing: a field that vanishes gives a large error, not NaN."""


def smse(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch"]:
    """The sum over channels and components of the mean squared error over the grid (arXiv:2305.12585).

    **Raises** `ValueError` when types, grids or boundaries differ; so do all losses.
    """
    difference = (prediction - target).array
    precise = jnp.square(difference.astype(jnp.promote_types(difference.dtype, jnp.float32)))
    return jnp.mean(jnp.sum(precise, axis=-1), axis=target.grid_axes)


def normalised_smse(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch"]:
    """As `smse`, with the squared error of each pixel and channel divided by the squared norm of the target there."""
    return _mean_over_grid(_pixel_ratios(prediction, target), target).sum(axis=-1)


def nrmse_per_pixel(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch"]:
    """The mean over channels and pixels of ||prediction - target|| / ||target||, pixel by pixel."""
    return _mean_over_grid(root(_pixel_ratios(prediction, target)), target).mean(axis=-1)


def nrmse(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch"]:
    """The mean over channels of ||prediction - target|| / ||target||, each norm taken over the whole grid."""
    errors = _mean_over_grid(_squared_norms(prediction - target), target)
    sizes = _mean_over_grid(_squared_norms(target), target)
    return jnp.mean(root(errors / (sizes + EPS)), axis=-1)


def _squared_norms(image: MultiImage) -> Float[Array, "*batch_grid channels"]:
    blocks = [squared_norm(block_features(image, rho))[..., 0] for rho in image.field_type.representations]
    return jnp.concatenate(blocks, axis=-1)


def _pixel_ratios(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch_grid channels"]:
    return _squared_norms(prediction - target) / (_squared_norms(target) + EPS)


def _mean_over_grid(values: Float[Array, "*batch_grid channels"], image: MultiImage) -> Float[Array, "*batch channels"]:
    return jnp.mean(values, axis=image.grid_axes)
