"""Trajectories in the HDF5 layout of The Well."""

import itertools
from collections.abc import Collection, Iterable
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

ORDERS = (0, 1, 2)


class WellSeries:
    """Trajectories in files of The Well, of which only the states asked for are read.

    The groups `t0_fields`, `t1_fields` and `t2_fields` hold tensors of these orders, `(trajectories, steps, *grid,
    *components)` without the axes along which a field does not vary. Fields that vary in time are the states, the
    others the constants; scalars that are no fields are left out. The format is that of The Well's documentation,
    docs/data_format.md at https://github.com/PolymathicAI/the_well (arXiv:2412.00568).

    **Arguments:**

    - paths: the files, such as those of one split; each holds several trajectories.
    - pseudo: the names of fields that change their sign under reflections, such as a vorticity: the files do not say.
    - boundary: what lies beyond the edges. Needed where the files say `WALL` or `OPEN`, which have no one meaning
        for an image; periodic axes are recognised.

    **Raises:** `ValueError` for files of different shapes or fields, for such a boundary, and, when they are read, for
    missing values.
    """

    field_type: FieldType
    boundary: tuple[Boundary, ...]
    fields: tuple[FieldSpec, ...]
    constant_fields: tuple[FieldSpec, ...]
    grid: tuple[int, ...]
    steps: int

    def __init__(
        self,
        paths: Iterable[str | PathLike[str]],
        *,
        pseudo: Collection[str] = (),
        boundary: tuple[Boundary, ...] | None = None,
    ):
        self._files = tuple(h5py.File(path) for path in paths)
        described = {_describe(file, pseudo) for file in self._files}
        if len(described) != 1:
            raise ValueError(
                f"The files of a `WellSeries` hold the same fields on the same grid, as many states of each, but "
                f"these differ: {described}."
            )
        self.fields, self.constant_fields, self.grid, self.steps = described.pop()
        if not self.fields:
            raise ValueError("The files hold no field that varies in time.")
        self.field_type = field_type_of(self.fields)
        self.boundary = _boundary(self._files[0]) if boundary is None else boundary
        counts = [int(file.attrs["n_trajectories"]) for file in self._files]
        self._places = [(file, n) for file, count in zip(self._files, counts, strict=True) for n in range(count)]

    @property
    def trajectories(self) -> int:
        """The number of trajectories, in all files."""
        return len(self._places)

    def constants(self, trajectory: int) -> MultiImage | None:
        """The fields of one trajectory that do not vary in time, without batch axes."""
        if not self.constant_fields:
            return None
        file, number = self._places[trajectory]
        array = self._packed(file, number, self.constant_fields, slice(0, 1))
        fixed = check_finite(array, trajectory, slice(0, 1))[0]
        return host_image(fixed, field_type_of(self.constant_fields), self.boundary)

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        """States of one trajectory."""
        file, number = self._places[trajectory]

        def stretch(times: slice) -> Float32[np.ndarray, "time *grid features"]:
            return check_finite(self._packed(file, number, self.fields, times), trajectory, times)

        return read_stretches(times, self.steps, stretch)

    def _packed(
        self, file: h5py.File, number: int, fields: tuple[FieldSpec, ...], times: slice
    ) -> Float32[np.ndarray, "time *grid features"]:
        arrays = [self._read(file, number, field, times) for field in packed_fields(fields)]
        return np.concatenate(arrays, axis=-1)

    def _read(
        self, file: h5py.File, number: int, field: FieldSpec, times: slice
    ) -> Float32[np.ndarray, "time *grid components"]:
        """One field, repeated along the axes on which it does not depend."""
        dataset = file[f"t{field.order}_fields"][field.name]
        moves = bool(dataset.attrs["time_varying"])
        place = [number] * bool(dataset.attrs["sample_varying"]) + [times] * moves
        values = np.asarray(dataset[tuple(place)], np.float32)
        varies = [side if along else 1 for side, along in zip(self.grid, dataset.attrs["dim_varying"], strict=True)]
        components = len(self.grid) ** field.order
        values = values.reshape(-1 if moves else 1, *varies, components)
        return np.broadcast_to(values, (len(values), *self.grid, components))


Description = tuple[tuple[FieldSpec, ...], tuple[FieldSpec, ...], tuple[int, ...], int]


def _describe(file: h5py.File, pseudo: Collection[str]) -> Description:
    """The fields that vary in time, the others, the grid and the number of states."""
    dimensions = file["dimensions"]
    axes = _names(dimensions.attrs["spatial_dims"])
    states, constants = list[FieldSpec](), list[FieldSpec]()
    for order in ORDERS:
        group = file[f"t{order}_fields"]
        for name in _names(group.attrs["field_names"]):
            moves = bool(group[name].attrs["time_varying"])
            field = _specification(name, order, int(name in pseudo), axes, constant=not moves)
            (states if moves else constants).append(field)
    grid = tuple(int(dimensions[axis].shape[-1]) for axis in axes)
    return tuple(states), tuple(constants), grid, int(dimensions["time"].shape[-1])


def _specification(name: str, order: int, parity: int, axes: tuple[str, ...], *, constant: bool) -> FieldSpec:
    components = tuple(
        Component(axes=entry, variable="_".join((name, *entry))) for entry in itertools.product(axes, repeat=order)
    )
    return FieldSpec.model_validate(
        {"name": name, "order": order, "parity": parity, "components": components, "constant": constant}
    )


def _boundary(file: h5py.File) -> tuple[Boundary, ...]:
    """The periodic axes. **Raises** `ValueError` where another kind of boundary is named, or none."""
    axes = _names(file["dimensions"].attrs["spatial_dims"])
    kinds: dict[str, set[str]] = {axis: set() for axis in axes}
    for condition in file["boundary_conditions"].values():
        for axis in _names(condition.attrs["associated_dims"]):
            kinds[axis].add(str(condition.attrs["bc_type"]).upper())
    if any(found != {"PERIODIC"} for found in kinds.values()):
        raise ValueError(
            f"The boundaries of the file are {kinds}, and only PERIODIC says what an image continues with. Say what "
            f"does: `boundary=(...)`, one for each of {axes}."
        )
    periodic: Boundary = "periodic"
    return (periodic,) * len(axes)


def _names(attribute: Iterable[str | bytes]) -> tuple[str, ...]:
    """A list of names; writers also store a single name as plain text."""
    names = [attribute] if isinstance(attribute, str) else attribute
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
