"""The Helmholtz projection."""

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..multi_image import MultiImage
from ..representations import Tensor
from ._check import check_spacing
from ._derivative import SPECTRAL, extended, wavenumbers


def helmholtz_projection(image: MultiImage, spacing: tuple[float, ...] | None = None) -> MultiImage:
    """The divergence-free part of every vector field: what remains without its gradient part.

    A field splits into u + grad f with div u = 0; the two are orthogonal, and u has the mean flow. For the Fourier
    coefficients v(k) at wavenumber k, u(k) = v(k) - k (k . v(k)) / |k|^2 (Chorin 1968, Numerical solution of the
    Navier-Stokes equations). The gradient part is `image - helmholtz_projection(image)`.

    Tensors of higher order are projected in their last index, the one that `divergence` contracts; fields without
    an index stay as they are. The `divergence` of the result vanishes up to rounding, because both take derivatives
    alike, in Fourier space; a Nyquist mode, which has no derivative there, counts as free of it. On a `mirror` axis
    the field is projected together with its mirror image, and the result flows along the wall and not through it;
    every such axis doubles the memory this takes. Commutes with every rotation and reflection of the grid, which
    permutes the spacing along with the axes.

    **Arguments:**

    - image: any fields, at least one of them a tensor of order one or more; every boundary `periodic` or `mirror`.
    - spacing: the distance between pixels along each grid axis, in any unit of length; 1 by default. Only its ratios
        matter.

    **Raises:** `ValueError` for other boundaries, for an image without vectors, and for a spacing that is not one
    positive length per axis.
    """
    steps = check_spacing("helmholtz_projection", image, spacing)
    for axis, kind in enumerate(image.boundary):
        if kind not in SPECTRAL:
            raise ValueError(
                f"`helmholtz_projection` cannot split fields on grid axis {axis}, which is {kind!r}: the split is "
                f"unique only on a torus or between walls. Boundaries that work: 'periodic', and 'mirror', a wall that "
                f"nothing flows through."
            )
    indexed = [r for r in image.field_type.representations if isinstance(r, Tensor) and r.order > 0]
    if not indexed:
        raise ValueError(f"`helmholtz_projection` needs vectors or tensors, but the image carries {image.field_type}.")
    places = image.field_type.slices(image.ndim)
    # Side by side: a field type holds its tensors first, by order.
    start, stop = places[indexed[0]].start, places[indexed[-1]].stop
    projected = _project(image, slice(start, stop), steps)
    blocks = (image.array[..., :start], projected, image.array[..., stop:])
    return image.with_array(jnp.concatenate(blocks, axis=-1))


def _project(image: MultiImage, features: slice, steps: tuple[float, ...]) -> Float[Array, "*batch_grid projected"]:
    doubled = tuple(side if kind == "mirror" else 0 for side, kind in zip(image.grid, image.boundary, strict=True))
    array = extended(image, (0,) * image.ndim, doubled)[..., features]
    inside = (..., *(slice(side) for side in image.grid), slice(None))
    projected = array - _gradient_part(array, image.grid_axes, steps)
    return projected[inside].astype(image.array.dtype)


def _gradient_part(
    array: Float[Array, "*batch_grid features"], axes: tuple[int, ...], steps: tuple[float, ...]
) -> Float[Array, "*batch_grid features"]:
    """k (k . v(k)) / |k|^2 on a torus, in the last index of the packed features."""
    sides, ndim = [array.shape[axis] for axis in axes], len(axes)
    # A constant has no gradient part. Without it rounding is relative to how much the field varies.
    corner = array[(..., *(slice(1),) * ndim, slice(None))]
    spectrum = jnp.fft.rfftn(array - corner, axes=axes)
    numbers = [wavenumbers(side, step / min(steps)) for side, step in zip(sides, steps, strict=True)]
    numbers[-1] = numbers[-1][: sides[-1] // 2 + 1]
    # One axis each: as whole grids they would be large constants in the compiled program.
    k = [jnp.asarray(number, array.dtype).reshape(-1, *(1,) * (ndim - axis)) for axis, number in enumerate(numbers)]
    squared = functools.reduce(jnp.add, map(jnp.square, k))
    product = functools.reduce(jnp.add, (k[i] * spectrum[..., i::ndim] for i in range(ndim)))
    potential = product / jnp.where(squared == 0, 1, squared)
    columns = jnp.stack([number * potential for number in k], axis=-1)
    return jnp.fft.irfftn(columns.reshape(spectrum.shape), s=sides, axes=axes)
