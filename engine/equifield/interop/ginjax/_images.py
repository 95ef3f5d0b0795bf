"""Images of ginjax to ours and back."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...boundary import Boundary
from ...multi_image import MultiImage
from ...representations import Representation, Tensor

Key = tuple[tuple[bool, ...], int]
"""How ginjax names a type: for each index of the tensor whether it is covariant, and the parity."""


def image_from_ginjax(image: Any) -> MultiImage:
    """The `MultiImage` that holds the same fields as a `ginjax.geometric.MultiImage`; ginjax itself is not imported.

    **Raises** `ValueError` as `from_blocks`, and for an image with a metric tensor, which ours do not carry.
    """
    if getattr(image, "metric_tensor", None) is not None:
        raise ValueError(
            "This ginjax image carries a metric tensor, which is not part of a `MultiImage`. Convert the metric as a "
            "field of its own, `from_blocks({((True, True), 0): metric.data[None]}, is_torus)`, and the image without."
        )
    return from_blocks(image.data, image.is_torus)


def ginjax_arguments(image: MultiImage) -> dict[str, Any]:
    """The arguments `data`, `D` and `is_torus` with which `ginjax.geometric.MultiImage` holds the same fields.

    **Raises** `ValueError` for representations and boundaries that ginjax does not have.
    """
    for kind in image.boundary:
        if kind not in ("periodic", "zero"):
            raise ValueError(f"ginjax has the boundaries 'periodic' and 'zero', but the image has {image.boundary}.")
    return {"data": to_blocks(image), "D": image.ndim, "is_torus": tuple(kind == "periodic" for kind in image.boundary)}


def from_blocks(
    blocks: Mapping[Key, Float[Any, "..."]] | Mapping[tuple[int, int], Float[Any, "..."]], is_torus: tuple[bool, ...]
) -> MultiImage:
    """An image from ginjax's channel-first arrays `{(k, p): (*batch, channels, *grid, *tensor)}`.

    **Arguments:**

    - blocks: NumPy or JAX arrays; k is the order of the tensors, or says of each index whether it is covariant.
    - is_torus: for each grid axis whether it is periodic; beyond the others ginjax sees zeros.

    **Raises:** `ValueError` for an array without a channel axis, for a type given twice, and for arrays that do not
    share batch and grid.
    """
    ndim = len(is_torus)
    fields: dict[Representation, Float[Array, ...]] = {}
    for (k, parity), block in blocks.items():
        representation = Tensor(k, parity) if isinstance(k, int) else Tensor(len(k), parity, tuple(k))
        channel_axis = block.ndim - 1 - ndim - representation.order
        if channel_axis < 0:
            raise ValueError(
                f"ginjax's array of {representation} on {ndim} axes has the shape (*batch, channels, *grid"
                f"{', ' + str(ndim) if representation.order else ''}...), not {block.shape}."
            )
        if representation in fields:
            raise ValueError(f"The blocks name {representation} twice, once by its order and once by its indices.")
        fields[representation] = jnp.moveaxis(jnp.asarray(block), channel_axis, channel_axis + ndim)
    boundary: tuple[Boundary, ...] = tuple("periodic" if torus else "zero" for torus in is_torus)
    return MultiImage.from_fields(fields, boundary)


def to_blocks(image: MultiImage) -> dict[Key, Float[Array, "..."]]:
    """The channel-first arrays of ginjax, `{(covariant, parity): (*batch, channels, *grid, *tensor)}`.

    **Raises** `ValueError` for a representation that is not a tensor.
    """
    first = len(image.batch)
    blocks = {}
    for representation, field in image.items():
        if not isinstance(representation, Tensor):
            raise ValueError(f"ginjax holds tensors, but the image carries {representation}.")
        key = (representation.covariant, representation.parity)
        blocks[key] = jnp.moveaxis(field, first + image.ndim, first)
    return dict(sorted(blocks.items()))
