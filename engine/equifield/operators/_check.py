"""What an operator asks of an image and of the spacing of its pixels."""

import math

from ..multi_image import MultiImage
from ..representations import Tensor


def check_spacing(name: str, image: MultiImage, spacing: tuple[float, ...] | None) -> tuple[float, ...]:
    """The distance between pixels along each grid axis, 1 when none is given. **Raises** `ValueError`."""
    if spacing is None:
        return (1.0,) * image.ndim
    if len(spacing) != image.ndim or not all(0 < step < math.inf for step in spacing):
        raise ValueError(
            f"`{name}(spacing={spacing})` needs one positive length per grid axis, {image.ndim} of them: the distance "
            f"between neighbouring pixels."
        )
    return spacing


def check_tensors(name: str, image: MultiImage, least_order: int) -> list[tuple[Tensor, int]]:
    """The tensors of an image and their channels. **Raises** `ValueError` when it carries anything else."""
    tensors = [
        (representation, channels)
        for representation, channels in image.field_type
        if isinstance(representation, Tensor) and representation.order >= least_order
    ]
    if others := {str(representation) for representation in image.field_type.representations} - {
        str(tensor) for tensor, _ in tensors
    }:
        raise ValueError(
            f"`{name}` takes tensors of order {least_order} or more on {image.ndim} axes, but the image carries "
            f"{', '.join(sorted(others))}. Separate them with `equifield.ops.split`."
        )
    return tensors
