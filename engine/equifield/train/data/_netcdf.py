"""Trajectories in NetCDF files and Zarr stores."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float32

from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage
from ...package._field_model import field_type_of
from ...package.manifest import FieldSpec, GridSpec
from ._image import host_image
from ._series import Times, check_finite, read_stretches
from ._variables import EVEN, decreasing, find_axes, find_variables

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


class NetCDFSeries:
    """Trajectories in NetCDF files or Zarr stores, of which only the states asked for are read.

    Each file holds one trajectory, or several along the dimension `trajectory`. Variables and axes are found as the
    service finds them (docs/payload.md): variables by the components' names or CF standard names, axes by their CF
    attributes or names. Dimensions may come in any order; where a coordinate decreases the fields are flipped, and
    vectors refer to increasing coordinates. Packed values are decoded.

    **Arguments:**

    - paths: one file or several. What ends in `.zarr` is a Zarr store.
    - fields: the fields of a state, with their components.
    - grid: axis names and boundaries; unless its spacing is `any`, all steps must be equal.
    - constants: fields without a time dimension.
    - variables: the variable of a component that is not found otherwise, by the component's: `{"u": "U10"}`.
    - axes: the dimension of an axis that is not found otherwise, such as `{"x": "west_east"}`.
    - time: the name of the time dimension, whose steps must be equal.
    - trajectory: the name of the dimension that counts trajectories, such as ensemble members.

    **Raises:** `ValueError` for variables or axes that are missing or ambiguous, dimensions that are neither, other
    units, uneven steps, files of different shapes; and, when they are read, for missing values.
    """

    field_type: FieldType
    boundary: tuple[Boundary, ...]

    def __init__(
        self,
        paths: Paths,
        fields: Sequence[FieldSpec],
        grid: GridSpec,
        *,
        constants: Sequence[FieldSpec] = (),
        variables: Mapping[str, str] | None = None,
        axes: Mapping[str, str] | None = None,
        time: str = "time",
        trajectory: str | None = None,
    ):
        every = [paths] if isinstance(paths, str | PathLike) else list(paths)
        self.field_type = field_type_of(fields)
        self.boundary = grid.boundary
        self._constant_type = field_type_of(constants) if constants else None
        named = (variables or {}, axes or {}, time, trajectory)
        self._files = tuple(_File(path, fields, constants, grid, *named) for path in every)
        if len(shapes := {(file.steps, file.grid) for file in self._files}) != 1:
            raise ValueError(f"All trajectories have as many states on the same grid, but the files have {shapes}.")
        self._places = [(file, number) for file in self._files for number in range(file.trajectories)]

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return self._files[0].grid

    @property
    def trajectories(self) -> int:
        """The number of trajectories."""
        return len(self._places)

    @property
    def steps(self) -> int:
        """The number of states of each."""
        return self._files[0].steps

    def constants(self, trajectory: int) -> MultiImage | None:
        """The constant fields of one trajectory, without batch axes."""
        if self._constant_type is None:
            return None
        file, number = self._places[trajectory]
        array = check_finite(file.constants(number)[None], trajectory, slice(0, 1))[0]
        return host_image(array, self._constant_type, self.boundary)

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory."""
        file, number = self._places[trajectory]
        return read_stretches(
            times, self.steps, lambda stretch: check_finite(file.read(number, stretch), trajectory, stretch)
        )


class _File:
    """The variables of one file, and where their axes lie."""

    def __init__(
        self,
        path: str | PathLike[str],
        fields: Sequence[FieldSpec],
        constants: Sequence[FieldSpec],
        grid: GridSpec,
        variables: Mapping[str, str],
        axes: Mapping[str, str],
        time: str,
        trajectory: str | None,
    ):
        store: dict[str, Any] = {"engine": "zarr", "consolidated": False} if Path(path).suffix == ".zarr" else {}
        dataset = xr.open_dataset(fspath(path), decode_times=False, chunks=None, **store)
        self._states = find_variables(dataset, fields, grid.axes, variables)
        self._fixed = find_variables(dataset, constants, grid.axes, variables)
        self._axes = tuple(find_axes(self._states[0], grid, axes).values())
        self._time = time
        self._trajectory = trajectory if trajectory in dataset.dims else None
        for variable in self._states:
            self._check(variable, {*self._axes, time})
        for variable in self._fixed:
            self._check(variable, set(self._axes))
        _check_times(self._states[0], time)
        self._backwards = tuple(dim for dim in self._axes if decreasing(self._states[0], dim))

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return tuple(self._states[0].sizes[dim] for dim in self._axes)

    @property
    def steps(self) -> int:
        """The number of states of a trajectory."""
        return self._states[0].sizes[self._time]

    @property
    def trajectories(self) -> int:
        """The number of trajectories in this file."""
        return 1 if self._trajectory is None else self._states[0].sizes[self._trajectory]

    def read(self, number: int, stretch: slice) -> Float32[np.ndarray, "time *grid features"]:
        """States of one of its trajectories."""
        return self._packed([variable.isel({self._time: stretch}) for variable in self._states], number)

    def constants(self, number: int) -> Float32[np.ndarray, "*grid features"]:
        """The constant fields of one of its trajectories."""
        return self._packed(list(self._fixed), number)

    def _packed(self, variables: list[xr.DataArray], number: int) -> Float32[np.ndarray, "*time_grid features"]:
        chosen = (v.isel({self._trajectory: number}) if self._trajectory in v.dims else v for v in variables)
        flipped = dict.fromkeys(self._backwards, slice(None, None, -1))
        arrays = [variable.transpose(..., *self._axes).isel(flipped).values for variable in chosen]
        return np.stack(arrays, axis=-1).astype(np.float32)

    def _check(self, variable: xr.DataArray, needed: set[str]) -> None:
        dims = set(variable.dims) - {self._trajectory}
        if dims != needed or (self._trajectory is not None and self._time in needed) > (
            self._trajectory in variable.dims
        ):
            raise ValueError(
                f"Variable '{variable.name}' has the dimensions {variable.dims}, but needs {sorted(needed)}"
                f"{f' and {self._trajectory}' if self._trajectory else ''}. Choose one level or the like beforehand, "
                f"or name the dimensions with `time` and `trajectory`."
            )


def _check_times(variable: xr.DataArray, time: str) -> None:
    steps = np.diff(variable[time].values.astype(np.float64)) if time in variable.coords else np.empty(0)
    if steps.size and (steps.min() <= 0 or np.ptp(steps) > EVEN * steps.max()):
        raise ValueError(
            f"The steps of '{time}' are between {steps.min():g} and {steps.max():g}, but states are equally far "
            f"apart and in order. Give every stretch without a gap a file of its own."
        )
