"""GeometricImage: one tensor field on a grid, for work by hand."""

from collections.abc import Iterable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from . import ops
from .boundary import Boundary, check_boundary
from .groups import Group, SignedPermutation
from .metric import Metric, lower_all, lower_index, raise_all, raise_index
from .multi_image import MultiImage
from .representations import Tensor


class GeometricImage(eqx.Module):
    """A field of tensors of one type (a geometric image of arXiv:2305.12585).

    `array` has shape `(*leading, *grid, *tensor)`: any leading axes, such as batch and channels, one grid axis per
    entry of `boundary`, and the axes of the tensor. Component i of a vector points along grid axis i. Networks pass on
    several fields at once, packed in a `MultiImage`; this is the view of one of them for tensor algebra.
    """

    array: Float[Array, "*leading_grid_tensor"]
    representation: Tensor = eqx.field(static=True)
    boundary: tuple[Boundary, ...] = eqx.field(static=True)

    def __init__(
        self, array: Float[Array, "*leading_grid_tensor"], representation: Tensor, boundary: tuple[Boundary, ...]
    ):
        value = representation.shape(len(boundary))
        if array.ndim < len(boundary) + len(value) or array.shape[array.ndim - len(value) :] != value:
            raise ValueError(
                f"`GeometricImage` of a {representation} on {len(boundary)} axes needs an array of shape (*leading, "
                f"*grid{''.join(f', {side}' for side in value)}), not {array.shape}."
            )
        check_boundary(boundary)
        self.array = array
        self.representation = representation
        self.boundary = boundary

    @classmethod
    def fill(
        cls,
        value: ArrayLike,
        representation: Tensor,
        grid: tuple[int, ...],
        boundary: tuple[Boundary, ...],
        *,
        dtype: jnp.dtype | type = float,
    ) -> "GeometricImage":
        """The constant image with this tensor at every pixel; 0 gives the zero image of any type."""
        shape = (*grid, *representation.shape(len(grid)))
        return cls(jnp.broadcast_to(jnp.asarray(value, dtype), shape), representation, boundary)

    @property
    def ndim(self) -> int:
        """The number of grid axes."""
        return len(self.boundary)

    @property
    def grid_axes(self) -> tuple[int, ...]:
        """The positions of the grid axes in `array`."""
        last = self.array.ndim - self.representation.order
        return tuple(range(last - self.ndim, last))

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return tuple(self.array.shape[axis] for axis in self.grid_axes)

    @property
    def leading(self) -> tuple[int, ...]:
        """The sizes of the axes before the grid."""
        return self.array.shape[: self.grid_axes[0]]

    def with_array(self, array: Float[Array, "*leading_grid_tensor"]) -> "GeometricImage":
        """The same type of field with other values; leading axes and grid may change."""
        return GeometricImage(array, self.representation, self.boundary)

    def packed(self) -> MultiImage:
        """The same field as one channel of a `MultiImage`, whose batch are the leading axes."""
        return MultiImage.from_fields(
            {self.representation: jnp.expand_dims(self.array, self.grid_axes[-1] + 1)}, self.boundary
        )

    def __add__(self, other: "GeometricImage") -> "GeometricImage":
        return self.with_array(self.array + self._alike(other))

    def __sub__(self, other: "GeometricImage") -> "GeometricImage":
        return self.with_array(self.array - self._alike(other))

    def __neg__(self) -> "GeometricImage":
        return self.with_array(-self.array)

    def __mul__(self, other: "GeometricImage | ArrayLike") -> "GeometricImage":
        """The tensor product with another image, pixel by pixel, or the product with a number."""
        if not isinstance(other, GeometricImage):
            return self.with_array(self.array * _number(other))
        if (self.grid, self.boundary) != (other.grid, other.boundary):
            raise ValueError(f"Images multiply when grid and boundary agree, but these are {self} and {other}.")
        return self._of(ops.tensor_product(self.array, self.representation, other.array, other.representation))

    def __rmul__(self, factor: ArrayLike) -> "GeometricImage":
        return self * factor

    def __truediv__(self, divisor: ArrayLike) -> "GeometricImage":
        return self.with_array(self.array / _number(divisor))

    def contract(self, first: int, second: int) -> "GeometricImage":
        """The sum over equal indices of two tensor axes, see `ops.contract`."""
        return self._of(ops.contract(self.array, self.representation, first, second))

    def multicontract(self, pairs: Sequence[tuple[int, int]]) -> "GeometricImage":
        """The sum over equal indices of several pairs of tensor axes, see `ops.multicontract`."""
        return self._of(ops.multicontract(self.array, self.representation, pairs))

    def levi_civita_contract(self, axes: Sequence[int]) -> "GeometricImage":
        """The contraction of `ndim - 1` tensor axes with the Levi-Civita symbol, see `ops.levi_civita_contract`."""
        return self._of(ops.levi_civita_contract(self.array, self.representation, axes, self.ndim))

    def transpose_axes(self, order: Sequence[int]) -> "GeometricImage":
        """The tensor axes in another order, see `ops.transpose_axes`."""
        return self._of(ops.transpose_axes(self.array, self.representation, order))

    def norm(self) -> "GeometricImage":
        """The Frobenius norm of each pixel, a scalar image."""
        return self._of(ops.norm(self.array, self.representation))

    def normalize(self) -> "GeometricImage":
        """The image divided by its largest pixel norm, for each of the leading axes; a zero image stays zero."""
        return self.with_array(ops.normalize(self.array, self.representation, self.grid_axes))

    def symmetric_part(self, first: int = 0, second: int = 1) -> "GeometricImage":
        """The part that keeps its value when two tensor axes are exchanged."""
        return self.with_array(ops.symmetric_part(self.array, self.representation, first, second))

    def antisymmetric_part(self, first: int = 0, second: int = 1) -> "GeometricImage":
        """The part that changes its sign when two tensor axes are exchanged."""
        return self.with_array(ops.antisymmetric_part(self.array, self.representation, first, second))

    def trace_part(self, first: int = 0, second: int = 1) -> "GeometricImage":
        """The part proportional to the identity in two tensor axes."""
        return self.with_array(ops.trace_part(self.array, self.representation, first, second))

    def traceless_part(self, first: int = 0, second: int = 1) -> "GeometricImage":
        """What `trace_part` leaves."""
        return self.with_array(ops.traceless_part(self.array, self.representation, first, second))

    def irreducible_parts(self) -> "tuple[GeometricImage, GeometricImage, GeometricImage]":
        """Trace, antisymmetric and traceless part of a tensor of order two, see `ops.irreducible_parts`."""
        trace, antisymmetric, traceless = ops.irreducible_parts(self.array, self.representation)
        return self._of(trace), self._of(antisymmetric), self._of(traceless)

    def raise_index(self, axis: int, metric: Metric) -> "GeometricImage":
        """The field with the index of one tensor axis raised, see `metric.raise_index`."""
        return _unpacked(raise_index(self.packed(), axis, metric))

    def lower_index(self, axis: int, metric: Metric) -> "GeometricImage":
        """The field with the index of one tensor axis lowered, see `metric.lower_index`."""
        return _unpacked(lower_index(self.packed(), axis, metric))

    def raise_all(self, metric: Metric) -> "GeometricImage":
        """The field with all indices up."""
        return _unpacked(raise_all(self.packed(), metric))

    def lower_all(self, metric: Metric) -> "GeometricImage":
        """The field with all indices down."""
        return _unpacked(lower_all(self.packed(), metric))

    def convolve(self, filter: "GeometricImage", *, dilation: int = 1) -> "GeometricImage":
        """The convolution with a filter image without leading axes, see `ops.convolve`."""
        return _unpacked(ops.convolve(self.packed(), filter.array, filter.representation, dilation=dilation))

    def average_pool(self, window: int | tuple[int, ...] = 2) -> "GeometricImage":
        """Each window becomes the mean of its pixels."""
        return _unpacked(ops.average_pool(self.packed(), window))

    def max_norm_pool(self, window: int | tuple[int, ...] = 2) -> "GeometricImage":
        """Each window becomes its tensor of largest norm, see `ops.max_norm_pool`."""
        return _unpacked(ops.max_norm_pool(self.packed(), window))

    def unpool(self, factor: int | tuple[int, ...] = 2) -> "GeometricImage":
        """Repeats every pixel along each grid axis."""
        return _unpacked(ops.unpool(self.packed(), factor))

    def act(self, element: SignedPermutation) -> "GeometricImage":
        """The rotated or reflected image, see `ops.act`."""
        return _unpacked(ops.act(element, self.packed()))

    def act_by_index(self, group: Group, index: Int[Array, ""] | int) -> "GeometricImage":
        """The image turned by `group.elements[index]`, where the index may be traced, see `ops.act_by_index`."""
        return _unpacked(ops.act_by_index(group, index, self.packed()))

    def translate(self, shift: tuple[int, ...]) -> "GeometricImage":
        """The image moved by whole pixels along its periodic axes, see `ops.translate`."""
        return _unpacked(ops.translate(self.packed(), shift))

    def __repr__(self) -> str:
        if not eqx.is_array(self.array):  # `tree_map` may leave anything in its place
            return f"GeometricImage({self.representation}, {self.array})"
        leading = f"{self.leading} x " if self.leading else ""
        grid = " x ".join(f"{side} {kind}" for side, kind in zip(self.grid, self.boundary, strict=True))
        return f"GeometricImage({self.representation} on {leading}({grid}), {self.array.dtype})"

    def _of(self, typed: ops.TypedField) -> "GeometricImage":
        return GeometricImage(*typed, self.boundary)

    def _alike(self, other: "GeometricImage") -> Float[Array, "*leading_grid_tensor"]:
        mine, theirs = ((x.representation, x.grid, x.boundary) for x in (self, other))
        if mine != theirs:
            raise ValueError(f"Images add when type, grid and boundary agree, but these are {self} and {other}.")
        return other.array


def to_images(image: MultiImage) -> dict[Tensor, GeometricImage]:
    """Each tensor field of an image by itself, with the leading axes `(*batch, channels)`.

    **Raises** `ValueError` for a representation that is no tensor.
    """
    images = {}
    for representation, field in image.items():
        if not isinstance(representation, Tensor):
            raise ValueError(f"`to_images` takes tensor fields, and {representation} is none.")
        array = jnp.moveaxis(field, len(image.batch) + image.ndim, len(image.batch))
        images[representation] = GeometricImage(array, representation, image.boundary)
    return images


def from_images(images: Iterable[GeometricImage]) -> MultiImage:
    """One image with all these fields: the inverse of `to_images`. Channels of equal types are joined in order.

    **Raises** `ValueError` for an image without channels, and when grids, boundaries or batches differ.
    """
    packed = []
    for image in images:
        if not image.leading:
            raise ValueError(
                f"`from_images` needs the leading axes (*batch, channels), and {image} has none. Join single images by "
                f"`ops.concatenate` of `image.packed()`."
            )
        channels_last = jnp.moveaxis(image.array, len(image.leading) - 1, image.grid_axes[-1])
        packed.append(MultiImage.from_fields({image.representation: channels_last}, image.boundary))
    return ops.concatenate(*packed)


def _unpacked(image: MultiImage) -> GeometricImage:
    """The only field of an image of one channel."""
    (single,) = to_images(image).values()
    return single.with_array(jnp.squeeze(single.array, len(single.leading) - 1))


def _number(factor: ArrayLike) -> ArrayLike:
    if jnp.ndim(factor) != 0:
        raise ValueError(
            f"An image is multiplied by a number or by another image, not by an array of shape {jnp.shape(factor)}: "
            f"make it a `GeometricImage` of scalars."
        )
    return factor
