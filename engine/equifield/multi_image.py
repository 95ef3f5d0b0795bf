"""MultiImage: several tensor fields on one grid, packed into one array."""

import math
from collections.abc import Iterator, Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._random import normal
from .boundary import Boundary as Boundary
from .boundary import check_boundary
from .field_type import FieldType
from .representations import Representation


class MultiImage(eqx.Module):
    """Tensor fields on one grid: a packed array and, fixed at compile time, its field type and boundaries.

    `array` has shape `(*batch, *grid, features)`, channel-last. The grid has one axis per entry of `boundary`;
    component i of a vector points along grid axis i. The features of one representation lie together as
    `(channels, *value)`, the representations in the canonical order of the `FieldType`.
    """

    array: Float[Array, "*batch_grid features"]
    field_type: FieldType = eqx.field(static=True)
    boundary: tuple[Boundary, ...] = eqx.field(static=True)

    def __init__(
        self,
        array: Float[Array, "*batch_grid features"],
        field_type: FieldType,
        boundary: tuple[Boundary, ...],
    ):
        features = field_type.size(len(boundary))
        if array.ndim <= len(boundary) or array.shape[-1] != features:
            raise ValueError(
                f"`MultiImage` of type {field_type} on {len(boundary)} axes needs an array of shape "
                f"(*batch, *grid, {features}), not {array.shape}."
            )
        check_boundary(boundary)
        self.array = array
        self.field_type = field_type
        self.boundary = boundary

    @classmethod
    def from_fields(
        cls, fields: Mapping[Representation, Float[Array, "..."]], boundary: tuple[Boundary, ...]
    ) -> "MultiImage":
        """Packs one array `(*batch, *grid, channels, *value)` per representation.

        **Raises** `ValueError` when the arrays do not share batch and grid.
        """
        ndim = len(boundary)
        blocks, channels, leading = {}, {}, set()
        for representation, field in fields.items():
            value = representation.shape(ndim)
            split = field.ndim - 1 - len(value)
            if split < ndim or field.shape[split + 1 :] != value:
                raise ValueError(
                    f"A field of {representation} on {ndim} axes has the shape (*batch, *grid, channels"
                    f"{''.join(f', {side}' for side in value)}), not {field.shape}."
                )
            channels[representation] = field.shape[split]
            blocks[representation] = field.reshape(*field.shape[:split], -1)
            leading.add(field.shape[:split])
        if len(leading) != 1:
            raise ValueError(f"Fields of one image share batch and grid axes, but these have {sorted(leading)}.")
        field_type = FieldType(channels)
        packed = [blocks[representation] for representation in field_type.representations]
        return cls(jnp.concatenate(packed, axis=-1), field_type, boundary)

    @property
    def ndim(self) -> int:
        """The number of grid axes."""
        return len(self.boundary)

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return self.array.shape[-1 - self.ndim : -1]

    @property
    def batch(self) -> tuple[int, ...]:
        """The sizes of the batch axes."""
        return self.array.shape[: -1 - self.ndim]

    @property
    def grid_axes(self) -> tuple[int, ...]:
        """The positions of the grid axes in `array`."""
        return tuple(range(self.array.ndim - 1 - self.ndim, self.array.ndim - 1))

    def __getitem__(self, representation: Representation) -> Float[Array, "*batch_grid_channels_value"]:
        """The fields of one representation, `(*batch, *grid, channels, *value)`. **Raises** `KeyError`."""
        features = self.array[..., self.field_type.slices(self.ndim)[representation]]
        shape = (self.field_type.channels(representation), *representation.shape(self.ndim))
        return features.reshape(*features.shape[:-1], *shape)

    def items(self) -> Iterator[tuple[Representation, Float[Array, "..."]]]:
        """Each representation with its fields."""
        return ((representation, self[representation]) for representation in self.field_type.representations)

    def with_array(self, array: Float[Array, "*batch_grid features"]) -> "MultiImage":
        """The same fields with other values; batch and grid may change."""
        return MultiImage(array, self.field_type, self.boundary)

    def _other(self, other: "MultiImage") -> Float[Array, "*batch_grid features"]:
        mine, theirs = ((x.field_type, x.grid, x.boundary) for x in (self, other))
        if mine != theirs:
            raise ValueError(
                f"Images combine when type, grid and boundary agree, but these are {self.field_type} on {self.grid} "
                f"{self.boundary} and {other.field_type} on {other.grid} {other.boundary}."
            )
        return other.array

    def __add__(self, other: "MultiImage") -> "MultiImage":
        # Features first, as in a folded network, whose turns then cancel across the sum; elsewhere it costs nothing.
        mine, theirs = jnp.broadcast_arrays(self.array, self._other(other))
        total = jnp.moveaxis(mine, -1, 0) + jnp.moveaxis(theirs, -1, 0)
        return self.with_array(jnp.moveaxis(total, 0, -1))

    def __sub__(self, other: "MultiImage") -> "MultiImage":
        return self.with_array(self.array - self._other(other))

    def __mul__(self, factor: int | float | Float[Array, ""]) -> "MultiImage":
        return self.with_array(self.array * factor)

    __rmul__ = __mul__

    def __truediv__(self, factor: int | float | Float[Array, ""]) -> "MultiImage":
        return self.with_array(self.array / factor)

    def __neg__(self) -> "MultiImage":
        return self.with_array(-self.array)


def random_image(
    field_type: FieldType,
    boundary: tuple[Boundary, ...],
    grid: tuple[int, ...],
    *,
    batch: tuple[int, ...] = (),
    dtype: jnp.dtype | type = jnp.float32,
    key: PRNGKeyArray,
) -> MultiImage:
    """An image of independent standard normal values."""
    shape = (*batch, *grid, field_type.size(len(boundary)))
    return MultiImage(normal(key, shape, dtype=dtype), field_type, boundary)


def block_features(image: MultiImage, representation: Representation) -> Float[Array, "... channels size"]:
    """The fields of one representation with each value flattened, `(*batch, *grid, channels, size)`."""
    field = image[representation]
    keep = field.ndim - len(representation.shape(image.ndim))
    return field.reshape(*field.shape[:keep], math.prod(field.shape[keep:]))


def from_block_features(
    blocks: Mapping[Representation, Float[Array, "*batch_grid channels size"]], like: MultiImage
) -> MultiImage:
    """The inverse of `block_features`: an image with the boundaries and the precision of `like`."""
    field_type = FieldType({representation: block.shape[-2] for representation, block in blocks.items()})
    ordered = (blocks[representation] for representation in field_type.representations)
    packed = [block.reshape(*block.shape[:-2], -1) for block in ordered]
    return MultiImage(jnp.concatenate(packed, axis=-1).astype(like.array.dtype), field_type, like.boundary)
