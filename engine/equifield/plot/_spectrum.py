"""The isotropic power spectrum."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..multi_image import MultiImage, block_features

TIE = 1e-9
"""Modes this close below the edge of a shell lie above it, so that rounding does not tell the axes apart."""


def power_spectrum(
    image: MultiImage, *, spacing: tuple[float, ...] | None = None
) -> tuple[Float[np.ndarray, " shells"], Float[Array, "*batch fields shells"]]:
    """How the variance of each field is distributed over wavenumbers |k|, whatever their direction.

    The power of a mode is |X(k)|^2 / n^2, summed over the components of the value, where X is the discrete Fourier
    transform over the n pixels. Shell b collects the modes with | |k| / dk - b | <= 1/2, where dk = 2 pi / L is the
    lowest wavenumber of the longest side L of the box. All but the mean lie in a shell, so that the powers sum to the
    variance (Parseval's theorem), and |k| is all that counts, so that no rotation or reflection changes them.

    The box is taken as one period along every axis: across a boundary that is not periodic, a jump adds power.
    Works under `jit` and `grad`, in at least float32.

    **Arguments:**

    - image: fields on a grid of any dimension and any sides.
    - spacing: the distance between pixels along each axis; 1 by default.

    **Returns:** the wavenumber b dk of each shell, in radians per unit of the spacing, and the powers; the fields are
    ordered as in `ops.field_labels`.

    **Raises:** `ValueError` unless there is one positive spacing per axis.
    """
    spacing = (1.0,) * image.ndim if spacing is None else spacing
    if len(spacing) != image.ndim or min(spacing) <= 0:
        raise ValueError(f"`power_spectrum` needs one positive spacing per axis, {image.ndim} of them, not {spacing}.")
    wavenumber, shells = _shells(image.grid, spacing)
    modes = image.array.astype(jnp.promote_types(image.array.dtype, jnp.float32))
    for axis in image.grid_axes:
        modes = jnp.fft.fft(modes, axis=axis, norm="forward")
    power = image.with_array(jnp.square(modes.real) + jnp.square(modes.imag))
    fields = [block_features(power, representation).sum(axis=-1) for representation in power.field_type.representations]
    listed = jnp.concatenate(fields, axis=-1).reshape(*image.batch, shells.size, -1)
    collected = jnp.zeros((*image.batch, 1 + len(wavenumber), listed.shape[-1]), listed.dtype)
    collected = collected.at[..., shells, :].add(listed)
    return wavenumber, jnp.moveaxis(collected[..., 1:, :], -1, -2)


@functools.lru_cache(maxsize=8)
def _shells(
    grid: tuple[int, ...], spacing: tuple[float, ...]
) -> tuple[Float[np.ndarray, " shells"], Int[np.ndarray, " modes"]]:
    """The wavenumber of each shell, and the shell of each mode; only the mean is in shell 0."""
    each = [2 * np.pi * np.fft.fftfreq(side, step) for side, step in zip(grid, spacing, strict=True)]
    lengths = np.sqrt(sum(np.square(waves) for waves in np.meshgrid(*each, indexing="ij")))
    lowest = 2 * np.pi / max(side * step for side, step in zip(grid, spacing, strict=True))
    shells = np.floor(lengths / lowest + 0.5 + TIE).astype(np.int32).reshape(-1)
    return lowest * np.arange(1, shells.max() + 1), shells
