"""Trajectories in the HDF5 layouts of PDEBench's fluids."""

import itertools
from collections.abc import Iterable
from os import PathLike

import h5py
import numpy as np
from jaxtyping import Float32

from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage
from ...package._field_model import field_type_of
from ...package.manifest import Component, FieldSpec, packed_fields
from ._image import host_image
from ._series import Times, check_finite, read_stretches

Layout = dict[FieldSpec, tuple[str, ...]]
"""The datasets of each field: one for each component, or one whose last axis they are."""


class PDEBenchSeries:
    """Trajectories in files of PDEBench (arXiv:2210.07182), of which only the states asked for are read.

    Two layouts are recognised, both with grid axes in the order x, y, z:

    - compressible flow (`2D_CFD_...hdf5`, `3D_CFD_...hdf5`): `density`, `pressure`, `Vx`, `Vy` and perhaps `Vz`, each
        `(trajectories, time, *grid)`, as pdebench/data_gen/data_gen_NLE/Data_Merge.py writes them;
    - inhomogeneous incompressible flow (`ns_incom_inhom_2d_512-....h5`): `velocity` and `particles`, `(trajectories,
        time, *grid, components)`, and the constant `force`, `(trajectories, *grid, components)`, as
        pdebench/data_gen/src/data_io.py writes them.

    **Arguments:**

    - paths: the files; each holds several trajectories.
    - boundary: what lies beyond the edges of each axis. The files do not say: those of compressible flow do in their
        names, the incompressible flow is in a closed box.

    **Raises:** `ValueError` for other datasets or another number of axes, for files of different shapes, and, when
    they are read, for missing values.
    """

    field_type: FieldType
    boundary: tuple[Boundary, ...]
    fields: tuple[FieldSpec, ...]
    constant_fields: tuple[FieldSpec, ...]
    grid: tuple[int, ...]
    steps: int

    def __init__(self, paths: Iterable[str | PathLike[str]], boundary: tuple[Boundary, ...]):
        files = tuple(h5py.File(path) for path in paths)
        self._states, self._fixed = _layout(files[0], len(boundary))
        counted = [_shape(file, self._states, len(boundary)) for file in files]
        if len({shape for _, shape in counted}) != 1:
            raise ValueError(f"All files hold as many states on the same grid, but these have {counted}.")
        self.steps, *grid = counted[0][1]
        self.grid = tuple(grid)
        self.fields, self.constant_fields = tuple(self._states), tuple(self._fixed)
        self.field_type = field_type_of(self.fields)
        self.boundary = boundary
        self._places = [(file, n) for file, (count, _) in zip(files, counted, strict=True) for n in range(count)]

    @property
    def trajectories(self) -> int:
        """The number of trajectories, in all files."""
        return len(self._places)

    def constants(self, trajectory: int) -> MultiImage | None:
        """The force on one trajectory, without batch axes, where the files hold one."""
        if not self.constant_fields:
            return None
        file, number = self._places[trajectory]
        array = check_finite(_packed(file, self._fixed, (number,), self.grid)[None], trajectory, slice(0, 1))[0]
        return host_image(array, field_type_of(self.constant_fields), self.boundary)

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory."""
        file, number = self._places[trajectory]

        def stretch(times: slice) -> Float32[np.ndarray, "time *grid features"]:
            return check_finite(_packed(file, self._states, (number, times), self.grid), trajectory, times)

        return read_stretches(times, self.steps, stretch)


def _layout(file: h5py.File, ndim: int) -> tuple[Layout, Layout]:
    """The states and the constants of a file. **Raises** `ValueError` for an unknown layout."""
    axes = ("x", "y", "z")[:ndim]
    velocities = tuple(f"V{axis}" for axis in axes)
    names = set(file)
    if names >= {"density", "pressure", *velocities} and len([name for name in names if name[0] == "V"]) == ndim:
        density, pressure = _field("density", 0, axes), _field("pressure", 0, axes)
        return {density: ("density",), pressure: ("pressure",), _field("velocity", 1, axes): velocities}, {}
    if names >= {"velocity", "particles", "force"}:
        particles, velocity = _field("particles", 0, axes), _field("velocity", 1, axes)
        force = _field("force", 1, axes, constant=True)
        return {particles: ("particles",), velocity: ("velocity",)}, {force: ("force",)}
    raise ValueError(
        f"`PDEBenchSeries` reads density, pressure and {velocities}, or velocity, particles and force, on {ndim} axes; "
        f"this file has {sorted(names)}."
    )


def _field(name: str, order: int, axes: tuple[str, ...], *, constant: bool = False) -> FieldSpec:
    entries = itertools.product(axes, repeat=order)
    components = tuple(Component(axes=entry, variable="_".join((name, *entry))) for entry in entries)
    return FieldSpec(name=name, order=order, components=components, constant=constant)


def _shape(file: h5py.File, states: Layout, ndim: int) -> tuple[int, tuple[int, ...]]:
    """The number of trajectories of a file, and its number of states and grid."""
    shapes = {file[name].shape[: 2 + ndim] for names in states.values() for name in names}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 + ndim:
        raise ValueError(f"A file holds (trajectories, time, {ndim} axes) of every field, but this one has {shapes}.")
    return shape[0], shape[1:]


def _packed(
    file: h5py.File, layout: Layout, place: tuple[int | slice, ...], grid: tuple[int, ...]
) -> Float32[np.ndarray, "*time_grid features"]:
    arrays = [
        np.asarray(file[name][place], np.float32) for field in packed_fields(tuple(layout)) for name in layout[field]
    ]
    bare = len(grid) + len(place) - 1
    return np.concatenate([array[..., None] if array.ndim == bare else array for array in arrays], axis=-1)
