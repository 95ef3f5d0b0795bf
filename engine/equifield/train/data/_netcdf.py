"""Trajectories in NetCDF files and Zarr stores."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float32

from ...conventions.units import step_factor
from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage
from ...package._field_model import field_type_of
from ...package.manifest import FieldSpec, GridSpec, names_of
from ._axes import EVEN, decreasing, find_axes, step_along
from ._features import Feature, Finder
from ._image import host_image
from ._series import Times, check_finite, read_stretches

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


class NetCDFSeries:
    """Trajectories in NetCDF files or Zarr stores, of which only the states asked for are read.

    Each file holds one trajectory, or several along the dimension `trajectory`. Variables and axes are found as the
    service finds them (docs/payload.md): fields by the attribute `tensor_field`, by their components' names or CF
    standard names, axes by their CF attributes or names. A field has one variable for each component, or a single one
    that counts them along dimensions of its own. Dimensions may come in any order; where a coordinate decreases the
    fields are flipped, and vectors refer to increasing coordinates. Packed values are decoded, and values in other
    units than the field's converted: by a factor, and true scalars by an offset too.

    **Arguments:**

    - paths: one file or several. What ends in `.zarr` is a Zarr store.
    - fields: the fields of a state, with their components.
    - grid: axis names and boundaries; unless its spacing is `any`, all steps must be equal.
    - constants: fields without a time dimension.
    - variables: the variable of a component that is not found otherwise, by the component's: `{"u": "U10"}`; that of a
        field whose components it counts, by the field's name: `{"stress": "sigma"}`.
    - axes: the dimension of an axis that is not found otherwise, such as `{"x": "west_east"}`.
    - time: the name of the time dimension, whose steps must be equal.
    - trajectory: the name of the dimension that counts trajectories, such as ensemble members.

    **Raises:** `ValueError` for variables or axes that are missing or ambiguous, dimensions that are neither,
    attributes that contradict the field, units that cannot be converted, uneven steps, files of different shapes or
    steps, `variables` of no field; and, when they are read, for missing values.
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
        known = names_of((*fields, *constants))
        if unknown := sorted((variables or {}).keys() - known):
            raise ValueError(f"`variables` names {unknown}, but the fields and their components are {sorted(known)}.")
        _check_alike(self._files)
        self._places = [(file, number) for file in self._files for number in range(file.trajectories)]

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return self._files[0].grid

    @property
    def spacing(self) -> dict[str, tuple[float, str]]:
        """The step from state to state (`time`) and along each axis, with its units, where the first file tells it."""
        return self._files[0].spacing

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
        finder = Finder(dataset, grid, variables, axes)
        self._states, self._fixed = finder.find(fields), finder.find(constants)
        self._first = self._states[0].component
        self._dims = find_axes(self._first, grid, axes)
        self._axes = tuple(self._dims.values())
        self._time = time
        self._trajectory = trajectory if trajectory in dataset.dims else None
        for feature in self._states:
            self._check(feature.component, {*self._axes, time})
        for feature in self._fixed:
            self._check(feature.component, set(self._axes))
        _check_times(self._first, time)
        self._backwards = tuple(dim for dim in self._axes if decreasing(self._first, dim))

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return tuple(self._first.sizes[dim] for dim in self._axes)

    @property
    def spacing(self) -> dict[str, tuple[float, str]]:
        """The steps of its coordinates and their units, by `time` or the axis, where there are equal ones."""
        steps = {name: step_along(self._first, dim) for name, dim in {"time": self._time, **self._dims}.items()}
        return {name: step for name, step in steps.items() if step is not None}

    @property
    def steps(self) -> int:
        """The number of states of a trajectory."""
        return self._first.sizes[self._time]

    @property
    def trajectories(self) -> int:
        """The number of trajectories in this file."""
        return 1 if self._trajectory is None else self._first.sizes[self._trajectory]

    def read(self, number: int, stretch: slice) -> Float32[np.ndarray, "time *grid features"]:
        """States of one of its trajectories."""
        return self._packed(self._states, {self._time: stretch, self._trajectory: number})

    def constants(self, number: int) -> Float32[np.ndarray, "*grid features"]:
        """The constant fields of one of its trajectories."""
        return self._packed(self._fixed, {self._trajectory: number})

    def _packed(
        self, features: tuple[Feature, ...], chosen: Mapping[str | None, int | slice]
    ) -> Float32[np.ndarray, "*time_grid features"]:
        flipped = dict.fromkeys(self._backwards, slice(None, None, -1))
        variables = {feature.variable.name: feature.variable for feature in features}
        read = {name: v.isel({**chosen, **flipped}, missing_dims="ignore").load() for name, v in variables.items()}
        components = [
            read[feature.variable.name].isel(feature.index).transpose(..., *self._axes) for feature in features
        ]
        arrays = [feature.conversion(component.values) for feature, component in zip(features, components, strict=True)]
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


def _check_alike(files: Sequence[_File]) -> None:
    """Refuses files that are no trajectories of one series."""
    if len(shapes := {(file.steps, file.grid) for file in files}) != 1:
        raise ValueError(f"All trajectories have as many states on the same grid, but the files have {shapes}.")
    first = files[0].spacing
    for file in files[1:]:
        for name, (step, units) in file.spacing.items():
            expected, unit = first.get(name, (step, units))
            if abs(step * step_factor(units, unit) - expected) > EVEN * expected:
                raise ValueError(
                    f"All trajectories have the same steps, but along {name} the first file has {expected:g} {unit} "
                    f"and another one {step:g} {units}. Train on files of one spacing, or interpolate them."
                )


def _check_times(variable: xr.DataArray, time: str) -> None:
    steps = np.diff(variable[time].values.astype(np.float64)) if time in variable.coords else np.empty(0)
    if steps.size and (steps.min() <= 0 or np.ptp(steps) > EVEN * steps.max()):
        raise ValueError(
            f"The steps of '{time}' are between {steps.min():g} and {steps.max():g}, but states are equally far "
            f"apart and in order. Give every stretch without a gap a file of its own."
        )
