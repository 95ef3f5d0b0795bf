"""How far a prediction is from its target: one number per sample, invariant under the group.

Every loss keeps the batch axes, so that the error of each step of a trajectory `(steps, *batch)` is the same call, and
a mean or maximum over any of them is the caller's. Fields are paired by type and channel, never by the order in which
they were written.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..multi_image import MultiImage, block_features
from ..operators import divergence
from ..ops import root, squared_norm
from ..representations import Representation, Tensor

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


def spectral_smse(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch"]:
    """As `smse`, with the squared error of the Fourier mode of wavenumber k times 1 + |k|^2.

    The squared H^1 Sobolev norm of the error (arXiv:2106.06898, section 3): small scales, whose amplitudes are small,
    count as much as large ones. Wavenumbers are in cycles per longest side of the grid.
    """
    error = prediction - target
    modes = error.array.astype(jnp.promote_types(error.array.dtype, jnp.float32))
    for axis in error.grid_axes:
        modes = jnp.fft.fft(modes, axis=axis, norm="forward")
    longest = max(error.grid)
    frequencies = jnp.meshgrid(*(jnp.fft.fftfreq(side, 1 / longest) for side in error.grid), indexing="ij")
    weights = 1 + sum(jnp.square(each) for each in frequencies)
    power = jnp.sum(jnp.square(modes.real) + jnp.square(modes.imag), axis=-1)
    return jnp.sum(power * weights, axis=target.grid_axes)


def divergence_smse(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch"]:
    """The `smse` of the divergence of the vectors and tensors, in differences per pixel: how badly a flow conserves.

    Scalars do not count. **Raises** `ValueError` when there is nothing else.
    """
    return smse(divergence(_tensors(prediction)), divergence(_tensors(target)))


def _tensors(image: MultiImage) -> MultiImage:
    """The fields of order one and more."""
    fields: dict[Representation, Array] = {
        rho: values for rho, values in image.items() if isinstance(rho, Tensor) and rho.order
    }
    if not fields:
        raise ValueError(f"`divergence_smse` needs vectors or tensors, but the image has {image.field_type}.")
    return MultiImage.from_fields(fields, image.boundary)


def _squared_norms(image: MultiImage) -> Float[Array, "*batch_grid channels"]:
    blocks = [squared_norm(block_features(image, rho))[..., 0] for rho in image.field_type.representations]
    return jnp.concatenate(blocks, axis=-1)


def _pixel_ratios(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch_grid channels"]:
    return _squared_norms(prediction - target) / (_squared_norms(target) + EPS)


def _mean_over_grid(values: Float[Array, "*batch_grid channels"], image: MultiImage) -> Float[Array, "*batch channels"]:
    return jnp.mean(values, axis=image.grid_axes)
