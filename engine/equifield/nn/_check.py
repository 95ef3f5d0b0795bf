"""What a layer asks of an image."""

import equinox as eqx

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage


def check_type(layer: eqx.Module, image: MultiImage, expected: FieldType, group: Group | None = None) -> None:
    """**Raises** `ValueError` unless the image carries the fields that a layer was built for."""
    name = type(layer).__name__
    if group is not None and image.ndim != group.dimension:
        raise ValueError(
            f"`{name}` commutes with {group}, which acts on {group.dimension} axes; the image has {image.ndim}."
        )
    if image.field_type != expected:
        raise ValueError(f"`{name}` was built for {expected}, but the image carries {image.field_type}.")
