"""Fields on a line, and spectra."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


def lines(
    axes: "Axes",
    x: Float[np.ndarray, " x"],
    values: Float[np.ndarray, "lines x"],
    *,
    labels: Sequence[str] = (),
) -> "list[Line2D]":
    """Draws fields along one axis as lines; labels, if any, one for each, go into a legend."""
    drawn = axes.plot(x, values.T, linewidth=1.2)
    axes.margins(x=0)
    _legend(axes, drawn, labels)
    return drawn


def spectra(
    axes: "Axes",
    wavenumber: Float[np.ndarray, " shells"],
    power: Float[np.ndarray, "lines shells"],
    *,
    labels: Sequence[str] = (),
) -> "list[Line2D]":
    """Draws power spectra, as `power_spectrum` gives them, on logarithmic axes; shells without power are left out."""
    drawn = axes.loglog(wavenumber, np.where(power > 0, power, np.nan).T, linewidth=1.2)
    axes.set_xlabel("wavenumber $|k|$")
    axes.set_ylabel("power per shell")
    axes.grid(True, which="major", linewidth=0.4, alpha=0.6)
    _legend(axes, drawn, labels)
    return drawn


def _legend(axes: "Axes", drawn: "list[Line2D]", labels: Sequence[str]) -> None:
    if not labels:
        return
    if len(labels) != len(drawn):
        raise ValueError(f"{len(drawn)} lines need as many labels, not {len(labels)}.")
    axes.legend(drawn, labels, frameon=False, fontsize="small")
