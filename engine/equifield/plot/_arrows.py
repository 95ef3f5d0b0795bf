"""Vector fields as arrows."""

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ._colours import DIVERGING, SEQUENTIAL, Limits, scalars, step_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.quiver import Quiver

LENGTH = 1.5
"""The length of the largest arrow, in distances between arrows."""

LIGHT = {DIVERGING: (DIVERGING, 0.12, 0.88), SEQUENTIAL: ("YlGnBu", 0.0, 0.7)}
"""Colours on which black arrows are seen: a colour map, and the part of it to use."""


def vectors(
    axes: "Axes",
    x: Float[np.ndarray, " x"],
    y: Float[np.ndarray, " y"],
    u: Float[np.ndarray, "x y"],
    v: Float[np.ndarray, "x y"],
    *,
    arrows: int = 28,
    largest: float | None = None,
) -> "Quiver":
    """Draws a vector field as arrows, each centred on its pixel, with about `arrows` of them along the longer axis.

    **Arguments:**

    - x, y: where the pixel centres lie.
    - u, v: the components to the right and upwards; pixels where one is not finite have no arrow.
    - arrows: how many along the longer axis, at most; a finer grid is thinned evenly.
    - largest: the length of the vector that is drawn as the largest arrow, so that two pictures compare.
    """
    every, distance = thinned(x, y, arrows)
    top = largest_of(np.hypot(u, v)) if largest is None else largest
    here, there = np.meshgrid(x[every[0]], y[every[1]], indexing="ij")
    u, v = u[every], v[every]
    drawn = np.isfinite(u) & np.isfinite(v)
    quiver = axes.quiver(
        here[drawn],
        there[drawn],
        u[drawn],
        v[drawn],
        pivot="mid",
        angles="xy",
        units="xy",
        scale_units="xy",
        scale=(top or 1.0) / (LENGTH * distance),
        width=0.07 * distance,
    )
    axes.set_aspect("equal")
    return quiver


def vectors_over_scalars(
    axes: "Axes",
    x: Float[np.ndarray, " x"],
    y: Float[np.ndarray, " y"],
    u: Float[np.ndarray, "x y"],
    v: Float[np.ndarray, "x y"],
    values: Float[np.ndarray, "x y"],
    *,
    arrows: int = 28,
    largest: float | None = None,
    limits: Limits | None = None,
) -> "ScalarMappable":
    """Draws a vector field as black arrows over a scalar field in light colours. Options as in `vectors`, `scalars`.

    **Returns:** the coloured image, for a colour bar.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    mesh = scalars(axes, x, y, values, limits=limits)
    name, first, last = LIGHT[mesh.get_cmap().name]
    mesh.set_cmap(ListedColormap(colormaps[name](np.linspace(first, last, 256)), name=f"light {name}"))
    vectors(axes, x, y, u, v, arrows=arrows, largest=largest)
    return mesh


def vectors_over_speed(
    axes: "Axes",
    x: Float[np.ndarray, " x"],
    y: Float[np.ndarray, " y"],
    u: Float[np.ndarray, "x y"],
    v: Float[np.ndarray, "x y"],
    *,
    arrows: int = 28,
    largest: float | None = None,
) -> "ScalarMappable":
    """Draws a vector field as arrows over its speed; `largest` fixes the top of the colours and of the arrows.

    **Returns:** the coloured image, for a colour bar.
    """
    speed = np.hypot(u, v)
    top = (largest_of(speed) if largest is None else largest) or 1.0
    return vectors_over_scalars(axes, x, y, u, v, speed, arrows=arrows, largest=top, limits=(0.0, top))


def thinned(x: Float[np.ndarray, " x"], y: Float[np.ndarray, " y"], count: int) -> tuple[tuple[slice, slice], float]:
    """Which pixels to draw so that at most `count` lie along the longer axis, evenly in space, and their distance."""
    wanted = max(len(places) * step_of(places) for places in (x, y)) / count
    every, distances = [], []
    for places in (x, y):
        step = max(1, math.ceil(wanted / step_of(places) - 1e-9))
        used = (max(1, len(places) // step) - 1) * step + 1
        start = (len(places) - used) // 2
        every.append(slice(start, start + used, step))
        distances.append(step * step_of(places))
    return (every[0], every[1]), min(distances)


def largest_of(sizes: Float[np.ndarray, "..."]) -> float:
    """The largest finite size; 0 when there is none."""
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))
