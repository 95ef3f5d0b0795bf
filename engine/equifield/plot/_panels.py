"""How the values of each representation are drawn, in a column of panels with one scale."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..representations import Representation, Tensor
from ._arrows import largest_of, vectors_over_scalars
from ._colours import limits_of, scalars
from ._ellipses import SENSES, SIGNS, largest_size, tensors
from ._lines import lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.lines import Line2D

LETTERS = "xyzw"

MARGIN = 0.05
"""The space above and below lines, as a part of their range."""

Column = Sequence["Axes"]
Places = tuple[Float[np.ndarray, " x"], Float[np.ndarray, " y"]]


def draw_plane(
    column: Column,
    key: "Axes",
    places: Places,
    shown: Sequence[int],
    representation: Representation,
    values: Float[np.ndarray, "rows x y *value"],
) -> None:
    """Draws one channel over the plane of two grid axes: colours, arrows, ellipses, or the norm of anything else.

    `key` is the panel under the column, for a colour bar or a legend.
    """
    order = representation.order if isinstance(representation, Tensor) else None
    if order == 1:
        _draw_vectors(column, key, places, shown, values)
    elif order == 2:
        _draw_tensors(column, key, places, values[..., shown, :][..., shown])
    elif values[0, 0, 0].size == 1:
        _draw_scalars(column, key, places, values.reshape(values.shape[:3]), "")
    else:
        _draw_scalars(column, key, places, np.linalg.norm(values.reshape(*values.shape[:3], -1), axis=-1), "norm")


def draw_line(
    column: Column,
    key: "Axes",
    places: Float[np.ndarray, " x"],
    representation: Representation,
    values: Float[np.ndarray, "rows x *value"],
) -> None:
    """Draws one channel along one grid axis, every component as a line."""
    low, high = limits_of(values)
    for axes, row in zip(column, values, strict=True):
        drawn = lines(axes, places, row.reshape(len(row), -1).T)
        axes.set_ylim(low - MARGIN * (high - low), high + MARGIN * (high - low))
    key.axis("off")
    if isinstance(representation, Tensor) and len(drawn) > 1:
        labels = ["".join(LETTERS[i] for i in index) for index in np.ndindex(values.shape[2:])]
        _legend(key, drawn, labels, values.shape[-1])


def _draw_scalars(
    column: Column, key: "Axes", places: Places, values: Float[np.ndarray, "rows x y"], label: str
) -> None:
    limits = (0.0, largest_of(values) or 1.0) if label else limits_of(values)
    meshes = [scalars(axes, *places, value, limits=limits) for axes, value in zip(column, values, strict=True)]
    _colour_bar(meshes[0], key, label)


def _draw_vectors(
    column: Column,
    key: "Axes",
    places: Places,
    shown: Sequence[int],
    values: Float[np.ndarray, "rows x y components"],
) -> None:
    inside, across = values[..., shown], np.delete(values, shown, axis=-1)
    length = np.linalg.norm(inside, axis=-1)
    if across.shape[-1] == 1:
        (normal,) = set(range(values.shape[-1])) - set(shown)
        behind, label = across[..., 0], f"component along {LETTERS[normal]}"
        limits = limits_of(behind)
    else:
        behind, label = np.linalg.norm(values, axis=-1), "length"
        limits = (0.0, largest_of(behind) or 1.0)
    for axes, arrow, value in zip(column, inside, behind, strict=True):
        u, v = np.moveaxis(arrow, -1, 0)
        mesh = vectors_over_scalars(axes, *places, u, v, value, arrows=20, largest=largest_of(length), limits=limits)
    _colour_bar(mesh, key, label)


def _draw_tensors(column: Column, key: "Axes", places: Places, values: Float[np.ndarray, "rows x y 2 2"]) -> None:
    from matplotlib.lines import Line2D

    top = largest_size(values)
    for axes, tensor in zip(column, values, strict=True):
        tensors(axes, *places, tensor, ellipses=12, largest=top)
    signs = [Line2D([], [], color=colour) for colour in SIGNS.values()]
    senses = [Line2D([], [], color=colour, marker="o", linestyle="") for colour in SENSES.values()]
    if np.allclose(values, np.swapaxes(values, -1, -2), rtol=0, atol=1e-6 * top, equal_nan=True):
        senses = []
    _legend(key, signs + senses, [*SIGNS, *SENSES][: len(signs + senses)], 2)


def _legend(key: "Axes", marks: "Sequence[Line2D]", labels: Sequence[str], columns: int) -> None:
    key.axis("off")
    key.legend(
        marks,
        labels,
        loc="upper center",
        ncols=columns,
        frameon=False,
        fontsize="small",
        borderaxespad=0,
        handlelength=1.2,
        columnspacing=1.2,
    )


def _colour_bar(mesh: "ScalarMappable", key: "Axes", label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    figure = key.get_figure(root=True)
    if figure is not None:
        figure.colorbar(mesh, cax=key, orientation="horizontal", label=label, ticks=MaxNLocator(5))
