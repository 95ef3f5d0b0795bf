"""Order-2 tensor fields as ellipses."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ._arrows import largest_of, thinned
from ._colours import step_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import EllipseCollection

FILL = 0.5
"""The semi-axis of the largest ellipse, in distances between ellipses."""

SIGNS = {"λ > 0": "#b2182b", "λ < 0": "#2166ac"}
SENSES = {"turns left": "#b9a3d6", "turns right": "#f2b26b"}


def tensors(
    axes: "Axes",
    x: Float[np.ndarray, " x"],
    y: Float[np.ndarray, " y"],
    tensor: Float[np.ndarray, "x y 2 2"],
    *,
    ellipses: int = 20,
    largest: float | None = None,
) -> "EllipseCollection":
    """Draws an order-2 tensor field T as the ellipses of its symmetric part, over discs for its rotation.

    The axes of an ellipse point along the eigenvectors of (T + T^t) / 2 and are as long as the eigenvalues: red where
    these are positive (stretching, tension), blue where negative. The antisymmetric part turns by the rate
    w = (T_yx - T_xy) / 2; behind the ellipse lies a disc of radius |w|, violet where it turns left and orange where it
    turns right. So a strain without rotation has no disc, and a rotation without strain is a disc alone.

    **Arguments:**

    - x, y: where the pixel centres lie.
    - tensor: the components; pixels where one is not finite have no ellipse.
    - ellipses: how many along the longer axis, at most; a finer grid is thinned evenly.
    - largest: the eigenvalue or rotation of the largest ellipse, so that two pictures compare.

    **Returns:** the ellipses.
    """
    every, distance = thinned(x, y, ellipses)
    places = np.stack(np.meshgrid(x[every[0]], y[every[1]], indexing="ij"), axis=-1).reshape(-1, 2)
    shown = tensor[every].reshape(-1, 2, 2)
    drawn = np.isfinite(shown).all(axis=(1, 2))
    places = places[drawn]
    values, angles, rotation = principal(shown[drawn])
    reach = FILL * distance / ((largest_size(tensor) if largest is None else largest) or 1.0)
    for sense, colour in zip((rotation > 0, rotation < 0), SENSES.values(), strict=True):
        turn = reach * np.abs(rotation[sense])
        _ellipses(axes, places[sense], turn, turn, 0 * turn, facecolors=colour)
    half = reach * np.abs(values)
    outlines = _ellipses(axes, places, half[:, 0], half[:, 1], angles, facecolors="none", edgecolors="0.3")
    _segments(axes, places, half[:, 0], angles, values[:, 0])
    _segments(axes, places, half[:, 1], angles + np.pi / 2, values[:, 1])
    axes.set_xlim(x.min() - step_of(x) / 2, x.max() + step_of(x) / 2)
    axes.set_ylim(y.min() - step_of(y) / 2, y.max() + step_of(y) / 2)
    axes.set_aspect("equal")
    return outlines


def _ellipses(
    axes: "Axes",
    places: Float[np.ndarray, "n 2"],
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    angles: Float[np.ndarray, " n"],
    **colours: str,
) -> "EllipseCollection":
    """Ellipses of these semi-axes, in units of the axes."""
    from matplotlib.collections import EllipseCollection

    drawn = EllipseCollection(
        2 * first,
        2 * second,
        np.degrees(angles),
        units="xy",
        offsets=places,
        offset_transform=axes.transData,
        linewidths=0.6,
        **colours,
    )
    axes.add_collection(drawn)
    return drawn


def _segments(
    axes: "Axes",
    places: Float[np.ndarray, "n 2"],
    half: Float[np.ndarray, " n"],
    angles: Float[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
) -> None:
    """The axes of the ellipses, coloured by the sign of the eigenvalue."""
    from matplotlib.collections import LineCollection

    reach = half[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    ends = np.stack((places - reach, places + reach), axis=1)
    colours = np.where(values > 0, *SIGNS.values())
    axes.add_collection(LineCollection(list(ends), colors=list(colours), linewidths=1.2))


def principal(
    tensor: Float[np.ndarray, "*n 2 2"],
) -> tuple[Float[np.ndarray, "*n 2"], Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """The eigenvalues of the symmetric part, greater first; the angle of the first eigenvector; the rotation."""
    (xx, xy), (yx, yy) = np.moveaxis(tensor, (-2, -1), (0, 1))
    middle, shear = (xx + yy) / 2, (xy + yx) / 2
    radius = np.hypot((xx - yy) / 2, shear)
    values = np.stack((middle + radius, middle - radius), axis=-1)
    return values, np.arctan2(2 * shear, xx - yy) / 2, (yx - xy) / 2


def largest_size(tensor: Float[np.ndarray, "*n 2 2"]) -> float:
    """The largest eigenvalue of the symmetric part, or rotation if that is larger."""
    values, _, rotation = principal(tensor)
    return max(largest_of(np.abs(values)), largest_of(np.abs(rotation)))
