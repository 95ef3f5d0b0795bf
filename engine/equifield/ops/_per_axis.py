"""A setting that is one number for all grid axes, or one for each."""

from ..multi_image import MultiImage

PerAxis = int | tuple[int, ...]


def per_axis(setting: PerAxis, image: MultiImage) -> tuple[int, ...]:
    """One number for each grid axis. **Raises** `ValueError` unless there are as many, all positive."""
    numbers = (setting,) * image.ndim if isinstance(setting, int) else setting
    if len(numbers) != image.ndim or min(numbers) < 1:
        raise ValueError(f"{setting} is not one positive number for each of {image.ndim} grid axes.")
    return numbers
