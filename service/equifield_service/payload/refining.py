"""The coordinates of an answer on a finer grid than the file: pixels are cells, which are divided evenly."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from equifield.conventions.axes import EAST, NORTH

from ..domain.errors import GridUnsupported
from .coordinates import LINKS
from .describing import clean, listing, text
from .packing import Plan
from .reading import PACKING, RANGES, File, decoded
from .shell import Shell

POLE = 90.0
SMOOTH = 90.0
"""Degrees of longitude between neighbours beyond which it is no longer clear what lies between them."""

Numbers = npt.NDArray[np.float64]


def refined(file: File, shell: Shell, plan: Plan, finer: int) -> tuple[Shell, Plan]:
    """What goes back with an answer that is so many times finer along every axis of the grid, and how.

    Coordinates along one axis, their bounds, and longitudes and latitudes along several follow. What else varies on the
    grid was measured there: it is left out, and the history says so.

    Raises:
        GridUnsupported: Finer latitudes would lie beyond a pole.
    """
    on_grid = [name for name, variable in shell.variables.items() if set(variable.dims) & set(plan.grid)]
    owners = {text(shell.variables[name].attrs, "bounds"): name for name in on_grid}
    centres = {name: _centres(file, name, plan.grid, finer) for name in on_grid if name not in owners}
    known = [name for name in on_grid if centres.get(owners.get(name, "")) is not None]
    found = centres | {name: _edges(file, name, owners[name], finer) for name in known}
    fine = {name: numbers for name, numbers in found.items() if numbers is not None}
    left = [name for name in on_grid if name not in fine]
    variables = {
        name: _written(variable, fine.get(name), left) for name, variable in shell.variables.items() if name not in left
    }
    notes = [f"on a grid {finer} times finer", *([f"without {listing(left)}, not known there"] if left else [])]
    linked = " ".join(word for word in plan.repeated.get("coordinates", "").split() if word not in left)
    divided = replace(
        plan,
        sizes={dim: size * (finer if dim in plan.grid else 1) for dim, size in plan.sizes.items()},
        repeated={name: value for name, value in {**plan.repeated, "coordinates": linked}.items() if value},
        notes=[*plan.notes, *notes],
    )
    mask = None if shell.mask is None else np.kron(shell.mask, np.ones((1, *[finer] * len(plan.grid)), bool))
    return replace(shell, variables=variables, mask=mask), divided


def _centres(file: File, name: str, grid: list[str], finer: int) -> Numbers | None:
    """A coordinate at the centres of the finer cells; None for what is none, or does not say enough."""
    variable = file.variables[name]
    units, name_in_cf = text(variable.attrs, "units"), text(variable.attrs, "standard_name")
    is_longitude = units in EAST or name_in_cf == "longitude"
    is_latitude = units in NORTH or name_in_cf == "latitude"
    is_axis = variable.ndim == 1 and (variable.dtype.kind == "f" or variable.dims == (name,))
    if variable.dtype.kind not in "iuf" or not (is_axis or is_longitude or is_latitude):
        return None
    numbers = decoded(file, name).values.astype(np.float64)
    for axis in (axis for axis, dim in enumerate(variable.dims) if dim in grid):
        points = np.moveaxis(numbers, axis, 0)
        steps = np.diff(points, axis=0)
        if is_longitude and not is_axis:
            steps = (steps + 180) % 360 - 180
        if not steps.size or (not is_axis and np.abs(steps).max() > SMOOTH):
            return None
        numbers = np.moveaxis(_divided(points, steps, finer), 0, axis)
    if is_latitude and np.abs(numbers).max() > POLE:
        if not is_axis:
            return None
        raise GridUnsupported(
            f"The finer latitudes '{clean(name)}' would reach {np.abs(numbers).max():g} degrees: a pole is a point, "
            f"with no cell around it that can be divided. Leave the poles out, such as with `isel(lat=slice(1, -1))`."
        )
    return numbers


def _divided(points: Numbers, steps: Numbers, finer: int) -> Numbers:
    """Points evenly inside of the cells around those along the first axis, on the lines from each to its neighbours."""
    offsets = ((np.arange(finer) + 0.5) / finer - 0.5).reshape(-1, *[1] * (points.ndim - 1))
    before, after = np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
    fine = points[:, None] + offsets * np.where(offsets < 0, before[:, None], after[:, None])
    return fine.reshape(-1, *points.shape[1:])


def _edges(file: File, name: str, owner: str, finer: int) -> Numbers | None:
    """The edges of the finer cells of a coordinate along one axis; None where the cells have other corners."""
    centres, edges = decoded(file, owner), decoded(file, name)
    if centres.ndim != 1 or edges.dims[:-1] != centres.dims or edges.shape[1:] != (2,) or centres.size < 2:
        return None
    upwards = centres.values[-1] > centres.values[0]
    order = [0, 1] if (edges.values[:, 1] > edges.values[:, 0]).all() == upwards else [1, 0]
    first, last = edges.values[:, order].astype(np.float64).T[..., None]
    parts = np.arange(finer + 1) / finer
    corners = (1 - parts) * first + parts * last
    pairs = np.stack([corners[:, :-1], corners[:, 1:]], axis=-1)
    return pairs.reshape(-1, 2)[:, order]


def _written(variable: xr.Variable, fine: Numbers | None, left: Collection[str]) -> xr.Variable:
    """A variable that goes back, without links to what does not."""
    attributes = {
        key: value
        for key, value in variable.attrs.items()
        if not (key in LINKS and {word.rstrip(":") for word in str(value).split()} & set(left))
    }
    if fine is None:
        return xr.Variable(variable.dims, variable.values, attributes, variable.encoding)
    stored = fine.astype(variable.dtype if variable.dtype.kind == "f" else np.float64)
    return xr.Variable(
        variable.dims, stored, {key: value for key, value in attributes.items() if key not in PACKING | RANGES}
    )
