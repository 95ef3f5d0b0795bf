"""Grids and boundaries: what a request asks for against what a model takes."""

from collections.abc import Collection, Mapping

from equifield.boundary import BOUNDARIES, Boundary
from equifield.package.manifest import GridSpec

from .errors import GridUnsupported, InvalidQuery

BY_NAME: Mapping[str, Boundary] = {kind: kind for kind in BOUNDARIES}


def boundary_of(spec: GridSpec, asked: Mapping[str, str], periodic: Collection[str] = ()) -> tuple[Boundary, ...]:
    """The boundary per axis: what the request says, else periodic where the file's grid closes, else the manifest's.

    Raises:
        InvalidQuery: the request names an axis or a boundary that does not exist.
    """
    for axis, kind in asked.items():
        if axis not in spec.axes or kind not in BY_NAME:
            raise InvalidQuery(
                f"`boundary={axis}:{kind}`: the axes are {', '.join(spec.axes)} and a boundary is "
                f"one of {', '.join(BOUNDARIES)}, such as `boundary={spec.axes[0]}:periodic`."
            )
    defaults = {
        axis: "periodic" if axis in periodic else default
        for axis, default in zip(spec.axes, spec.boundary, strict=True)
    }
    return tuple(BY_NAME[asked.get(axis, default)] for axis, default in defaults.items())


def check_grid(spec: GridSpec, grid: tuple[int, ...]) -> None:
    """Lets a grid pass that the model can take exactly.

    Raises:
        GridUnsupported: it cannot; the message names the nearest sizes that work.
    """
    if len(grid) != len(spec.axes):
        raise GridUnsupported(
            f"The model has {len(spec.axes)} axes ({', '.join(spec.axes)}), but grid {grid} has {len(grid)}. "
            f"Give one size per axis."
        )
    for axis, side in zip(spec.axes, grid, strict=True):
        if side < spec.minimum or side % spec.multiple:
            above = _round_up(max(side, spec.minimum), spec.multiple)
            below = above - spec.multiple
            near = f"{below} or {above}" if below >= max(spec.minimum, 1) else str(above)
            raise GridUnsupported(
                f"Axis {axis} has {side} points; the model takes multiples of {spec.multiple}, at least "
                f"{spec.minimum}. The nearest that works: {near}."
            )


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
