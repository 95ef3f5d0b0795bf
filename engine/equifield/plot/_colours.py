"""Scalar fields as colours."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

Limits = tuple[float, float]

DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"

EVEN = 0.01
"""How far a pixel of an evenly spaced axis may lie from its place, in pixels."""


def scalars(
    axes: "Axes",
    x: Float[np.ndarray, " x"],
    y: Float[np.ndarray, " y"],
    values: Float[np.ndarray, "x y"],
    *,
    limits: Limits | None = None,
) -> "ScalarMappable":
    """Draws a scalar field as colours: diverging ones about zero when it has both signs, otherwise sequential ones.

    **Arguments:**

    - x, y: where the pixel centres lie, in any unit; the spacing may vary.
    - values: the field; what is not finite stays blank.
    - limits: the lowest and the highest value of the colour scale, so that two pictures compare.

    **Returns:** the image, for a colour bar.
    """
    if x[0] > x[-1]:
        x, values = x[::-1], values[::-1]
    if y[0] > y[-1]:
        y, values = y[::-1], values[:, ::-1]
    low, high = limits_of(values) if limits is None else limits
    colours = SEQUENTIAL
    if low < 0 < high:
        low, high, colours = -max(-low, high), max(-low, high), DIVERGING
    shown = np.ma.masked_invalid(values).T
    mesh: ScalarMappable
    if _even(x) and _even(y):
        extent = (*_ends(x), *_ends(y))
        mesh = axes.imshow(shown, origin="lower", extent=extent, interpolation="nearest", cmap=colours)
    else:
        mesh = axes.pcolormesh(x, y, shown, shading="nearest", rasterized=True, cmap=colours)
    mesh.set_clim(low, high)
    axes.set_aspect("equal")
    return mesh


def limits_of(values: Float[np.ndarray, "..."]) -> Limits:
    """The least and the greatest finite value; for a constant field, a scale from zero."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if low < high else (0.0, 1.0)


def _even(places: Float[np.ndarray, " n"]) -> bool:
    expected = np.linspace(places[0], places[-1], len(places))
    return bool(np.abs(places - expected).max() <= EVEN * step_of(places))


def _ends(places: Float[np.ndarray, " n"]) -> Limits:
    half = step_of(places) / 2
    return float(places[0] - half), float(places[-1] + half)


def step_of(places: Float[np.ndarray, " n"]) -> float:
    """The mean distance between neighbouring pixels; 1 for a single one."""
    return float(abs(places[-1] - places[0])) / (len(places) - 1) if len(places) > 1 else 1.0
