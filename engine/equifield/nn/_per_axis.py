"""A setting that is one number for all grid axes, or one for each."""

import equinox as eqx

from ..multi_image import MultiImage
from ._stencil import PerAxis


def check_positive(layer: eqx.Module, setting: PerAxis) -> None:
    """**Raises** `ValueError` unless every number is at least 1, naming the layer."""
    if min((setting,) if isinstance(setting, int) else setting, default=0) < 1:
        raise ValueError(f"`{layer}` needs at least 1, along every axis.")


def per_axis(setting: PerAxis, image: MultiImage) -> tuple[int, ...]:
    """One number for each grid axis. **Raises** `ValueError` for another count."""
    numbers = (setting,) * image.ndim if isinstance(setting, int) else setting
    if len(numbers) != image.ndim:
        raise ValueError(f"{setting} is not one positive number for each of {image.ndim} grid axes.")
    return numbers
