"""The Laplacian."""

import functools

import jax.numpy as jnp

from ..multi_image import MultiImage
from ._check import check_spacing
from ._derivative import derivative


def laplacian(image: MultiImage, spacing: tuple[float, ...] | None = None) -> MultiImage:
    """The sum of the second derivatives of every field along the grid axes, lap T = sum_i d_i d_i T.

    The type stays: the Laplacian commutes with every orthogonal transformation of the values, so it takes any
    representation. On periodic and mirror axes it is spectral and equals the `divergence` of the `gradient`, but
    for the Nyquist mode (+1, -1, +1, ...) of an even side, and of normal components between mirrors: that has a
    second derivative, which the Laplacian keeps so that diffusion damps it, and no first (Johnson 2011, Notes on
    FFT-based differentiation). On other axes it is the compact difference (x[i+1] - 2 x[i] + x[i-1]) / h^2, of
    second order in h, where the divergence of the gradient would reach two pixels far. Commutes with every rotation
    and reflection of the grid, which permutes the spacing along with the axes.

    **Arguments:**

    - image: any fields.
    - spacing: the distance between pixels along each grid axis, in any unit of length; 1 by default.

    **Raises:** `ValueError` for a spacing that is not one positive length per axis.
    """
    steps = check_spacing("laplacian", image, spacing)
    terms = (derivative(image, axis, step, order=2) for axis, step in enumerate(steps))
    return image.with_array(functools.reduce(jnp.add, terms).astype(image.array.dtype))
