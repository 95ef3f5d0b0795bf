"""Metrics: lengths and angles that differ from pixel to pixel, and raising and lowering indices with them."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .boundary import Boundary
from .field_type import FieldType
from .groups import SignedPermutation
from .multi_image import MultiImage
from .ops import act, concatenate, split
from .representations import Representation, Tensor


class Metric(eqx.Module):
    """A field of symmetric positive definite matrices g_ij, and their inverses g^ij.

    `lower` is g_ij and `upper` is g^ij, both of shape `(*batch, *grid, d, d)`; batch axes broadcast against those of
    the images. A pytree of these two arrays, so it passes through `jit`, `vmap` and `tree_map` like any image. To
    differentiate by a metric, build it from g_ij inside the differentiated function.
    """

    lower: Float[Array, "*batch_grid d d"]
    upper: Float[Array, "*batch_grid d d"]

    def __init__(self, lower: Float[Array, "*batch_grid d d"]):
        """**Arguments:**

        - lower: g_ij, of which the symmetric part is taken. Where it is not positive definite the inverse is NaN.

        **Raises:** `ValueError` unless its last two axes have the length d of the number of grid axes.
        """
        ndim = lower.shape[-1]
        if lower.ndim < ndim + 2 or lower.shape[-2] != ndim:
            raise ValueError(
                f"`Metric` needs an array of shape (*batch, *grid, d, d) with d grid axes, not {lower.shape}."
            )
        self.lower = (lower + jnp.matrix_transpose(lower)) / 2
        self.upper = _inverse(self.lower)

    @property
    def ndim(self) -> int:
        """The number of grid axes."""
        return self.lower.shape[-1]

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return self.lower.shape[-2 - self.ndim : -2]

    def act(self, element: SignedPermutation) -> "Metric":
        """The rotated or reflected metric, g.m(a) = rho(g) m(g^-1 a): a field of `tensor(dd)`, exactly."""
        turned = [
            _unpacked(act(element, _packed(array, Tensor(2, 0, (down, down)))))
            for array, down in ((self.lower, True), (self.upper, False))
        ]
        metric: Metric = eqx.tree_at(lambda m: (m.lower, m.upper), self, tuple(turned))
        return metric


def raise_index(image: MultiImage, axis: int, metric: Metric) -> MultiImage:
    """Every tensor field T_..i.. with the index of one axis raised: g^ij T_..j.. .

    **Raises** `ValueError` when the index is up already in one of the fields, or when they do not have this axis.
    """
    targets = [_with_axis("raise_index", r, axis, down=False) for r in image.field_type.representations]
    return _moved(image, targets, metric)


def lower_index(image: MultiImage, axis: int, metric: Metric) -> MultiImage:
    """Every tensor field T^..i.. with the index of one axis lowered: g_ij T^..j.. . The inverse of `raise_index`.

    **Raises** `ValueError` when the index is down already in one of the fields, or when they do not have this axis.
    """
    targets = [_with_axis("lower_index", r, axis, down=True) for r in image.field_type.representations]
    return _moved(image, targets, metric)


def raise_all(image: MultiImage, metric: Metric) -> MultiImage:
    """Every tensor field with all indices up. Fields that become alike are joined, in the order of their types."""
    return _moved(image, [with_indices(r, down=False) for r in image.field_type.representations], metric)


def lower_all(image: MultiImage, metric: Metric) -> MultiImage:
    """Every tensor field with all indices down. Fields that become alike are joined, in the order of their types."""
    return _moved(image, [with_indices(r, down=True) for r in image.field_type.representations], metric)


def raise_to(image: MultiImage, field_type: FieldType, metric: Metric) -> MultiImage:
    """The inverse of `lower_all`: an image of `field_type` from one with all indices down.

    **Raises** `ValueError` when lowering `field_type` would give another type.
    """
    parts = split(image, *(FieldType({with_indices(r, down=True): channels}) for r, channels in field_type))
    targets = field_type.representations
    return concatenate(*(_as_type(part, target, metric) for part, target in zip(parts, targets, strict=True)))


def lowered(field_type: FieldType) -> FieldType:
    """The type with all indices down."""
    types = [FieldType({with_indices(r, down=True): channels}) for r, channels in field_type]
    return sum(types[1:], types[0])


def with_indices(representation: Representation, *, down: bool) -> Representation:
    """The tensor type with all indices down, or all up. What is no tensor has no indices and stays."""
    if not isinstance(representation, Tensor):
        return representation
    return dataclasses.replace(representation, covariant=(down,) * representation.order)


def _with_axis(name: str, representation: Representation, axis: int, *, down: bool) -> Tensor:
    if not isinstance(representation, Tensor) or not 0 <= axis < representation.order:
        raise ValueError(f"`{name}` of axis {axis} needs tensors with that axis, and a {representation} has none.")
    covariant = list(representation.covariant)
    if covariant[axis] == down:
        height = "down" if down else "up"
        raise ValueError(f"`{name}` of axis {axis} of a {representation}: this index is {height} already.")
    covariant[axis] = down
    return dataclasses.replace(representation, covariant=tuple(covariant))


def _moved(image: MultiImage, targets: Sequence[Representation], metric: Metric) -> MultiImage:
    """The image with its representations, one after the other, turned into the targets."""
    parts = split(image, *(FieldType({r: channels}) for r, channels in image.field_type))
    return concatenate(*(_as_type(part, target, metric) for part, target in zip(parts, targets, strict=True)))


def _as_type(image: MultiImage, target: Representation, metric: Metric) -> MultiImage:
    """The image of one representation, with those indices moved that are elsewhere in the target."""
    (source,) = image.field_type.representations
    if metric.grid != image.grid:
        raise ValueError(f"The metric lives on the grid {metric.grid}, but the image on {image.grid}.")
    if not isinstance(source, Tensor) or not isinstance(target, Tensor):
        return image
    field = image[source]
    precise = jnp.promote_types(field.dtype, jnp.float32)
    array = field.astype(precise)
    for axis, (down, wanted) in enumerate(zip(source.covariant, target.covariant, strict=True)):
        if down != wanted:
            matrix = (metric.lower if wanted else metric.upper).astype(precise)
            array = _applied(matrix[..., None, :, :], array, axis, target.order)
    return MultiImage.from_fields({target: array.astype(field.dtype)}, image.boundary)


def _applied(
    matrix: Float[Array, "*batch_grid 1 d d"], array: Float[Array, "..."], axis: int, order: int
) -> Float[Array, "..."]:
    """The matrix of each pixel applied to one of the last `order` axes; a sum of products, which fuses."""
    place = axis - order
    columns = jnp.moveaxis(array, place, -1)[..., None, :]
    matrix = jnp.expand_dims(matrix, tuple(range(-1 - order, -2)))
    return jnp.moveaxis(jnp.sum(matrix * columns, axis=-1), -1, place)


def _inverse(matrices: Float[Array, "*batch_grid d d"]) -> Float[Array, "*batch_grid d d"]:
    """By the Cholesky factorisation, stable for positive definite matrices, in at least float32."""
    precise = matrices.astype(jnp.promote_types(matrices.dtype, jnp.float32))
    factor = jnp.linalg.cholesky(precise)
    identity = jnp.broadcast_to(jnp.eye(matrices.shape[-1], dtype=precise.dtype), precise.shape)
    root = jax.lax.linalg.triangular_solve(factor, identity, left_side=True, lower=True)
    inverse = jnp.einsum("...ki,...kj->...ij", root, root, precision=jax.lax.Precision.HIGHEST)
    return inverse.astype(matrices.dtype)


def _packed(matrices: Float[Array, "*batch_grid d d"], tensor: Tensor) -> MultiImage:
    """One matrix per pixel as an image. A metric is used pixel by pixel, so any boundary does."""
    boundary: Boundary = "periodic"
    return MultiImage.from_fields({tensor: matrices[..., None, :, :]}, (boundary,) * matrices.shape[-1])


def _unpacked(image: MultiImage) -> Float[Array, "*batch_grid d d"]:
    (representation,) = image.field_type.representations
    return image[representation][..., 0, :, :]
