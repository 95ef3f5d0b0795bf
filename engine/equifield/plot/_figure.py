"""All fields of an image in one figure."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..multi_image import MultiImage
from ..ops import field_labels
from ..representations import Representation
from ._colours import step_of
from ._panels import LETTERS, draw_line, draw_plane

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = Float[np.ndarray, "rows *shown_and_value"]

SIDE, NARROWEST, KEY = 2.8, 1.5, 0.1
"""The longer side of a panel, the least width that its title needs, and the height of a colour bar, in inches."""

BESIDE, BETWEEN, BELOW = 0.35, 0.25, 1.5
"""What titles, ticks and labels need beside each panel, between two rows, and above and below all, in inches."""


def fields(
    image: MultiImage,
    *,
    spacing: tuple[float, ...] | None = None,
    cut: Mapping[int, int] | None = None,
    titles: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
) -> "Figure":
    """Draws every channel of an image, one column for each; the batch (members, or times) runs down the rows.

    True and pseudoscalars are drawn as colours. Vectors are arrows: over their length in the plane, and in a plane
    of space over the component across it. Tensors of order 2 are ellipses, see `tensors`. Of all other values the
    Euclidean norm is drawn. Along a line, every component is a line. A column has one scale, so that its rows compare.

    **Arguments:**

    - image: fields with any batch.
    - spacing: the distance between pixels along each axis; 1 by default.
    - cut: the pixel at which to cut each axis that is not shown; by default the third axis and those behind it, in
        the middle.
    - titles: of the columns, instead of `ops.field_labels`.
    - rows: names of the rows, instead of the places in the batch.

    **Returns:** the figure; `figure.savefig(path)` writes it.

    **Raises:** `ValueError` for a cut that leaves no axis or more than two, or lies outside, and for names that are too
    few or too many.
    """
    import matplotlib.pyplot as plt

    spacing = (1.0,) * image.ndim if spacing is None else spacing
    cut = {axis: image.grid[axis] // 2 for axis in range(2, image.ndim)} if cut is None else cut
    shown = _shown_axes(image, cut)
    titles = _names("titles", titles, field_labels(image.field_type))
    members = [f"batch {', '.join(map(str, place))}" if place else "" for place in np.ndindex(image.batch)]
    rows = _names("rows", rows, members)
    places = [spacing[axis] * np.arange(image.grid[axis], dtype=float) for axis in shown]
    width, height = _panel(places)
    size = (len(titles) * (width + BESIDE) + BESIDE, len(rows) * (height + BETWEEN) + BELOW + (BETWEEN if cut else 0))
    figure = plt.figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(rows) + 1, len(titles), squeeze=False, height_ratios=[height] * len(rows) + [KEY])
    for column, title, (representation, values) in zip(panels.T, titles, _channels(image, cut), strict=True):
        if len(shown) == 2:
            draw_plane(column[:-1], column[-1], (places[0], places[1]), shown, representation, values)
        else:
            draw_line(column[:-1], column[-1], places[0], representation, values)
        column[0].set_title(title)
        column[-2].set_xlabel(LETTERS[shown[0]])
    for panel, row in zip(panels[:-1, 0], rows, strict=True):
        panel.set_ylabel("\n".join(filter(None, (row, *(LETTERS[axis] for axis in shown[1:])))))
    for panel in panels[:-2].flat:
        panel.tick_params(labelbottom=False)
    for panel in panels[:-1, 1:].flat:
        panel.tick_params(labelleft=len(shown) == 1)
    if cut:
        figure.suptitle(", ".join(f"{LETTERS[axis]} = {spacing[axis] * place:g}" for axis, place in cut.items()))
    return figure


def _shown_axes(image: MultiImage, cut: Mapping[int, int]) -> list[int]:
    shown = [axis for axis in range(image.ndim) if axis not in cut]
    inside = all(0 <= axis < image.ndim and 0 <= place < image.grid[axis] for axis, place in cut.items())
    if len(shown) not in (1, 2) or not inside:
        raise ValueError(
            f"`fields` draws one or two axes of the grid {image.grid} and cuts the others at one of their pixels, but "
            f"cut={dict(cut)} does not leave that."
        )
    return shown


def _names(what: str, given: Sequence[str] | None, default: list[str]) -> list[str]:
    if given is not None and len(given) != len(default):
        raise ValueError(f"`fields` draws {len(default)} {what} here, but was given the names of {len(given)}.")
    return default if given is None else list(given)


def _panel(places: list[Float[np.ndarray, " _"]]) -> tuple[float, float]:
    """The width and height of a panel in inches."""
    if len(places) == 1:
        return SIDE, 0.6 * SIDE
    extents = [len(place) * step_of(place) for place in places]
    width, height = (SIDE * extent / max(extents) for extent in extents)
    return max(width, NARROWEST), max(height, NARROWEST / 2)


def _channels(image: MultiImage, cut: Mapping[int, int]) -> list[tuple[Representation, Values]]:
    """Each channel in order, `(rows, *shown, *value)` in float64."""
    where = tuple(cut.get(axis, slice(None)) for axis in range(image.ndim))
    listed = []
    for representation, field in image.items():
        values = np.asarray(field, np.float64).reshape(math.prod(image.batch), *field.shape[len(image.batch) :])
        values = values[(slice(None), *where)]
        channels = values.ndim - 1 - len(representation.shape(image.ndim))
        listed += [(representation, np.take(values, channel, channels)) for channel in range(values.shape[channels])]
    return listed
