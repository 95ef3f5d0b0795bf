"""Which dimension of a variable is which axis of a grid."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from ...conventions.axes import STANDARD_NAMES, UNITS
from ...conventions.units import step_factor
from ...package.manifest import GridSpec

EVEN = 1e-3
"""The share of a step by which steps that count as equal may differ."""


def find_axes(variable: xr.DataArray, grid: GridSpec, given: Mapping[str, str]) -> dict[str, str]:
    """The dimension of each axis of the grid: as given, else by attribute `axis`, units, standard name, or name.

    **Raises** `ValueError` where there is none, or more than one, and for a grid whose steps are not all equal unless
    the specification takes any spacing.
    """
    chosen = {axis: given.get(axis) or _dimension(variable, axis) for axis in grid.axes}
    if not set(chosen.values()) <= set(variable.dims) or len(set(chosen.values())) < len(chosen):
        raise ValueError(
            f"The axes {chosen} are not different dimensions of '{variable.name}', which has {variable.dims}. Say "
            f"which they are: `axes={{'{grid.axes[0]}': ...}}`."
        )
    if grid.spacing == "uniform":
        _check_spacing(variable, chosen)
    return chosen


def _dimension(variable: xr.DataArray, axis: str) -> str:
    """Applies the rules by which the service finds an axis; the first that fits a dimension decides."""
    attributes = {str(dim): variable[dim].attrs if dim in variable.coords else {} for dim in variable.dims}
    rules: tuple[Callable[[str], bool], ...] = (
        lambda dim: attributes[dim].get("axis") == axis.upper(),
        lambda dim: attributes[dim].get("units") in UNITS.get(axis, ()),
        lambda dim: attributes[dim].get("standard_name") in STANDARD_NAMES.get(axis, ()),
        lambda dim: dim.lower() == axis.lower(),
    )
    for fits in rules:
        matches = [dim for dim in attributes if fits(dim)]
        if len(matches) > 1:
            raise ValueError(f"Axis '{axis}' could be any of {matches}. Say which: `axes={{'{axis}': ...}}`.")
        if matches:
            return matches[0]
    raise ValueError(
        f"No dimension of '{variable.name}' is axis '{axis}': it has {variable.dims}. Say which: "
        f"`axes={{'{axis}': ...}}`."
    )


def _check_spacing(variable: xr.DataArray, axes: Mapping[str, str]) -> None:
    known = [dim for dim in axes.values() if dim in variable.coords and variable.sizes[dim] > 1]
    units = [_units(variable[dim]) for dim in known]
    steps = [
        step_factor(unit, units[0]) * np.abs(np.diff(variable[dim].values.astype(np.float64)))
        for dim, unit in zip(known, units, strict=True)
    ]
    every = np.concatenate([*steps, np.empty(0)])
    if every.size and np.ptp(every) > EVEN * every.max():
        raise ValueError(
            f"The steps along {known} are between {every.min():g} and {every.max():g}, but the symmetry of a uniform "
            f"grid needs equal ones. Interpolate the file, or take `spacing='any'`."
        )


def step_along(variable: xr.DataArray, dim: str) -> tuple[float, str] | None:
    """The step of a coordinate, and its units; None where there is no coordinate, or none of equal steps."""
    if dim not in variable.coords or variable.sizes[dim] < 2:
        return None
    steps = np.abs(np.diff(variable[dim].values.astype(np.float64)))
    return None if np.ptp(steps) > EVEN * steps.max() else (float(steps.mean()), _units(variable[dim]))


def _units(coordinate: xr.DataArray) -> str:
    """Those of its steps."""
    return str(coordinate.attrs.get("units", "")).partition(" since ")[0].strip()


def decreasing(variable: xr.DataArray, dim: str) -> bool:
    """Whether the coordinate of a dimension decreases."""
    return dim in variable.coords and variable.sizes[dim] > 1 and bool(variable[dim][1] < variable[dim][0])
