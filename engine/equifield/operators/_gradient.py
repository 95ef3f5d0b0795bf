"""The gradient."""

import jax.numpy as jnp

from ..field_type import FieldType
from ..multi_image import MultiImage
from ..representations import Tensor
from ._check import check_spacing, check_tensors
from ._derivative import derivative


def gradient(image: MultiImage, spacing: tuple[float, ...] | None = None) -> MultiImage:
    """The derivatives of every field along every grid axis, (grad T)_{a..b i} = d_i T_{a..b}.

    A `Tensor(k, p)` becomes a `Tensor(k + 1, p)` whose new index is the last: `(*batch, *grid, channels, *value)`
    turns into `(*batch, *grid, channels, *value, ndim)`. Orthogonal transformations treat upper and lower indices
    alike, and the metric of a grid is the identity in units of length, so the new index is an upper one: the gradient
    of a scalar is a vector.

    Commutes with every rotation and reflection g of the grid, which permutes the spacing along with the axes:
    grad(g x, g spacing) = g grad(x, spacing).

    How each derivative is taken follows from the boundary of its axis, and is the same for all operators:

    - `periodic`: spectral, by FFT; exact for band-limited fields. On an even side the first derivative of the Nyquist
        mode is zero (Johnson 2011, Notes on FFT-based differentiation).
    - `mirror`: spectral too. With its mirror image the field is periodic over twice the side, and the boundary of its
        derivative is a mirror again, so derivatives can be repeated and `helmholtz_projection` is free of
        `divergence` as exactly as on a torus. Exact for band-limited fields that meet the wall as a mirror image
        does: normal components vanish there, normal derivatives of everything else.
    - `zero`, `reflect`, `replicate`: central differences (x[i+1] - x[i-1]) / 2h, whose values beyond the edge come from
        the boundary. Of second order in h wherever the continued field is smooth; at an edge where it has a jump
        or a kink the derivative there is that of the continuation.

    **Arguments:**

    - image: tensors of any order. float16 and bfloat16 are computed in float32.
    - spacing: the distance between pixels along each grid axis, in any unit of length; 1 by default. The result is
        per that unit.

    **Raises:** `ValueError` for fields that are no tensors, and for a spacing that is not one positive length per axis.
    """
    steps = check_spacing("gradient", image, spacing)
    field_type = FieldType(
        {
            Tensor(tensor.order + 1, tensor.parity, (*tensor.covariant, False)): channels
            for tensor, channels in check_tensors("gradient", image, 0)
        }
    )
    columns = [derivative(image, axis, step) for axis, step in enumerate(steps)]
    array = jnp.stack(columns, axis=-1).reshape(*image.array.shape[:-1], -1)
    return MultiImage(array.astype(image.array.dtype), field_type, image.boundary)
