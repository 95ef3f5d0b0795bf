"""The derivative along one grid axis, on which every operator is built."""

import jax.numpy as jnp
import numpy as np
from jax.lax import slice_in_dim
from jaxtyping import Array, Float

from ..boundary import Boundary
from ..multi_image import MultiImage
from ..ops import pad

SPECTRAL: tuple[Boundary, ...] = ("periodic", "mirror")
"""The boundaries that make an image periodic: it repeats after n pixels, or with its mirror image after 2n."""

EVERY = slice(None)


def derivative(
    image: MultiImage, axis: int, step: float, *, order: int = 1, features: slice = EVERY
) -> Float[Array, "*batch_grid derived"]:
    """The first or second derivative of packed features along a grid axis, in at least float32.

    Spectral where the image continues periodically, else by central differences (see `gradient`).
    """
    if image.boundary[axis] in SPECTRAL:
        return _spectral(image, axis, step, order, features)
    return _central(image, axis, step, order, features)


def wavenumbers(length: int, step: float, order: int = 1) -> Float[np.ndarray, " length"]:
    """The angular wavenumbers of a discrete Fourier transform, for a derivative of the given order.

    On an even number of pixels the Nyquist mode (+1, -1, +1, ...) has no odd derivative: the wave that it samples may
    travel either way, and its derivative vanishes on the pixels of the cosine. So its wavenumber is zero there.
    """
    numbers = 2 * np.pi * np.fft.fftfreq(length, step)
    if order % 2 and length % 2 == 0:
        numbers[length // 2] = 0.0
    return numbers


def extended(image: MultiImage, low: tuple[int, ...], high: tuple[int, ...]) -> Float[Array, "*batch_padded features"]:
    """The image continued beyond its edges, in at least float32."""
    array = pad(image, low, high)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def _spectral(
    image: MultiImage, axis: int, step: float, order: int, features: slice
) -> Float[Array, "*batch_grid derived"]:
    side, place = image.grid[axis], image.grid_axes[axis]
    mirrored = side if image.boundary[axis] == "mirror" else 0
    array = extended(image, (0,) * image.ndim, _only(axis, mirrored, image.ndim))[..., features]
    length = array.shape[place]
    # A constant has no derivative. Without it rounding is relative to how much the field varies.
    spectrum = jnp.fft.rfft(array - slice_in_dim(array, 0, 1, axis=place), axis=place)
    factors = (1j * wavenumbers(length, step, order)[: length // 2 + 1]) ** order
    along = factors.reshape(-1, *(1,) * (array.ndim - 1 - place))
    derived = jnp.fft.irfft(spectrum * jnp.asarray(along, spectrum.dtype), length, axis=place)
    return slice_in_dim(derived, 0, side, axis=place)


def _central(
    image: MultiImage, axis: int, step: float, order: int, features: slice
) -> Float[Array, "*batch_grid derived"]:
    side, place, one = image.grid[axis], image.grid_axes[axis], _only(axis, 1, image.ndim)
    array = extended(image, one, one)[..., features]
    before, here, after = (slice_in_dim(array, start, start + side, axis=place) for start in range(3))
    if order == 1:
        return (after - before) / (2 * step)
    return ((after - here) - (here - before)) / step**2


def _only(axis: int, width: int, ndim: int) -> tuple[int, ...]:
    return tuple(width if a == axis else 0 for a in range(ndim))
