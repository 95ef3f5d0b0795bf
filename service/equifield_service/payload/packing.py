"""From the variables of a file to one packed array, and from a packed array back to the file's dimensions."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from equifield.conventions.tensors import words
from equifield.conventions.units import UNCHANGED, Conversion
from equifield.package.manifest import Manifest, packed_components

from ..domain.errors import InflatedTooLarge, SchemaMismatch
from .axes import Axis
from .coordinates import repeated_attributes
from .describing import clean, listing
from .fields import Found
from .missing import Mask, check_finite
from .reading import File, decoded, reading
from .schema import check_stacked
from .values import Allocate, Limits, Missing, Precision

Packed = npt.NDArray[np.float32]

UNWRITTEN = np.float32(9.969209968386869e36)
"""What the NetCDF library leaves where nothing was written, whether or not `_FillValue` says so."""


@dataclass(frozen=True)
class Plan:
    """How an answer goes back into the shape of the file that was sent. Plain JSON values.

    Attributes:
        sizes: Every dimension of the outputs but those that count components, in the file's order.
        grid: The dimension of each axis of the model, in the model's order.
        decreasing: The dimensions that are flipped between file and model.
        stacked: Of each stacked input field, its component dimensions, and whether they come first.
        periodic: The axes of the model along which the grid closes.
        repeated: Attributes that every output variable has.
        notes: What was done to the input, for the history.
        steps: The dimension along which the states of a rollout will lie.
        records: Whether that dimension is unlimited and the first of every variable, for the file is to grow.
    """

    sizes: dict[str, int]
    grid: list[str]
    decreasing: list[str]
    stacked: dict[str, tuple[list[str], bool]]
    periodic: list[str]
    repeated: dict[str, str]
    notes: list[str]
    steps: str | None = None
    records: bool = False

    @property
    def batch(self) -> list[str]:
        """The dimensions that are no axis of the model; the steps of a rollout vary fastest."""
        return sorted((dim for dim in self.sizes if dim not in self.grid), key=lambda dim: dim == self.steps)

    @property
    def dimensions(self) -> set[str]:
        """Every dimension of the fields that were sent, those that count components among them."""
        return set(self.sizes).union(*(dims for dims, _ in self.stacked.values()))

    def to_json(self) -> dict[str, Any]:
        """The plan as it travels through the gateway."""
        return dict(vars(self))


@dataclass(frozen=True)
class Feature:
    """Where one feature of the packed array lies: a variable, and an index into its component dimensions."""

    variable: str
    index: Mapping[str, int]


def make_plan(file: File, manifest: Manifest, found: list[Found], axes: list[Axis], kept: list[str]) -> Plan:
    """Notes what is needed to give the answer back, with the variables `kept`.

    Raises:
        SchemaMismatch: An output would have the name of a dimension, or one dimension twice.
    """
    sizes = _sizes(file, found)
    outputs = {field.name for field in manifest.outputs}
    outputs |= {component.variable for field in manifest.outputs for component in field.components}
    if outputs & set(sizes):
        raise SchemaMismatch(
            f"The dimensions {listing(sorted(outputs & set(sizes)))} have the names of output fields of the model, "
            f"which cannot be written then. Rename them."
        )
    stacked = {}
    for place in found:
        if shared := sorted(set(place.component_dims) & set(sizes)):
            raise SchemaMismatch(
                f"The dimensions {listing(shared)} count the components of '{clean(place.field.name)}', but other "
                f"fields have them too, for something else. Rename them there."
            )
        if place.component_dims:
            dims = file.variables[place.variables[()]].dims
            stacked[place.field.name] = (list(place.component_dims), dims[0] in place.component_dims)
    return Plan(
        sizes=sizes,
        grid=[axis.dimension for axis in axes],
        decreasing=[axis.dimension for axis in axes if axis.decreasing],
        stacked=stacked,
        periodic=[axis.name for axis in axes if axis.periodic],
        repeated=repeated_attributes([file.variables[name] for name in names_of(found)], kept),
        notes=[],
    )


def names_of(found: list[Found]) -> list[str]:
    """The variables behind some fields."""
    return [name for place in found for name in place.variables.values()]


def _sizes(file: File, found: list[Found]) -> dict[str, int]:
    """The dimensions of the variable that has most, then those that only others have, which go in front."""
    per_variable = [
        {str(dim): size for dim, size in file.variables[name].sizes.items() if dim not in place.component_dims}
        for place in found
        for name in place.variables.values()
    ]
    most = max(per_variable, key=len)
    others = {dim: size for sizes in per_variable for dim, size in sizes.items() if dim not in most}
    return others | most


def locate(file: File, manifest: Manifest, found: list[Found], axes: list[Axis]) -> list[Feature]:
    """Where each feature of the packed input lies in the file.

    Raises:
        SchemaMismatch: The components do not point along the axes of the model.
    """
    axis_of = {axis.dimension: axis.name for axis in axes}
    places = {place.field.name: _components(file, place, axis_of) for place in found}
    return [
        places[field.name][component.axes]
        for field, component in packed_components(manifest.inputs, manifest.grid.axes)
    ]


def _components(file: File, place: Found, axis_of: Mapping[str, str]) -> dict[tuple[str, ...], Feature]:
    if place.component_dims:
        return _stacked_components(file, place, axis_of)
    features = {}
    for key, name in place.variables.items():
        axes = _translated(key, axis_of) if place.keyed_by_dimension else key
        declared = words(file.variables[name].attrs, "tensor_axis")
        known = any(component.axes == axes for component in place.field.components)
        if not known or axes in features or (declared and _translated(declared, axis_of) != axes):
            raise SchemaMismatch(
                f"Variable '{clean(name)}' of field '{place.field.name}' says that it points along "
                f"{listing(declared)}; the model wants one component for each of its axes, which are "
                f"{_shown(axis_of)}. Correct the attribute tensor_axis, or use `axes`."
            )
        features[axes] = Feature(name, {})
    return features


def _stacked_components(file: File, place: Found, axis_of: Mapping[str, str]) -> dict[tuple[str, ...], Feature]:
    name, dims = place.variables[()], place.component_dims
    check_stacked(file.variables[name], dims, place.field.order, len(axis_of), name)
    order = _directions(name, place.directions or tuple(axis_of.values()), axis_of)
    return {
        component.axes: Feature(name, {dim: order.index(axis) for dim, axis in zip(dims, component.axes, strict=True)})
        for component in place.field.components
    }


def _translated(directions: Iterable[str], axis_of: Mapping[str, str]) -> tuple[str, ...]:
    """Directions given as dimensions of the file, as axes of the model."""
    return tuple(axis_of.get(direction, direction) for direction in directions)


def _shown(axis_of: Mapping[str, str]) -> str:
    return listing(f"{axis}={dim}" for dim, axis in axis_of.items())


def _directions(name: str, directions: tuple[str, ...], axis_of: Mapping[str, str]) -> list[str]:
    order = _translated(directions, axis_of)
    if sorted(order) != sorted(axis_of.values()):
        raise SchemaMismatch(
            f"Variable '{clean(name)}' says that its components point along {listing(directions)}; the axes "
            f"of the model are {_shown(axis_of)}. Correct the attribute tensor_axes, or use `axes`."
        )
    return list(order)


def pack(
    file: File,
    features: list[Feature],
    plan: Plan,
    *,
    limits: Limits,
    changes: Mapping[str, Conversion],
    missing: Missing | None,
    new: Allocate = np.empty,
) -> Packed:
    """Reads every feature into one array `(batch, *grid, features)`, NaN where a missing value will be filled.

    Raises:
        MissingValues, InfiniteValues: A value is not a number, with count and first position.
        InflatedTooLarge: The array would be larger than the limits allow.
    """
    order = [*plan.batch, *plan.grid]
    nbytes = math.prod(plan.sizes.values()) * len(features) * 4
    if nbytes > limits.decoded_bytes:
        raise InflatedTooLarge(
            f"The fields take {nbytes} bytes when unpacked; at most {limits.decoded_bytes} are read. Send "
            f"fewer samples."
        )
    packed: Packed = new([*(plan.sizes[dim] for dim in order), len(features)], np.float32)
    for name in dict.fromkeys(feature.variable for feature in features):
        variable = decoded(file, name)
        dims, numbers = tuple(map(str, variable.dims)), _numbers(variable.values, changes[name])
        check_finite(name, dims, numbers, missing)
        with reading("Packing the fields"):
            for index, feature in enumerate(features):
                if feature.variable == name:
                    packed[..., index] = _arranged(numbers, dims, feature.index, plan, order)
    return packed.reshape(-1, *(plan.sizes[dim] for dim in plan.grid), len(features))


def _arranged(
    numbers: Packed, dims: tuple[str, ...], index: Mapping[str, int], plan: Plan, order: list[str]
) -> npt.NDArray[np.float32]:
    """One feature as a view in the order of the packed array, of length 1 where it does not vary."""
    whole, back = slice(None), slice(None, None, -1)
    view = numbers[tuple(index.get(dim, back if dim in plan.decreasing else whole) for dim in dims)]
    own = [dim for dim in dims if dim not in index]
    view = view.transpose([own.index(dim) for dim in order if dim in own])
    return view[tuple(whole if dim in own else np.newaxis for dim in order)]


def _numbers(values: npt.NDArray[Any], change: Conversion) -> Packed:
    """The values in the units of the model, NaN where the library's own fill value says that none was written."""
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
        unwritten = numbers == UNWRITTEN
        if change != UNCHANGED:
            numbers = change(values).astype(np.float32)
    numbers[unwritten] = np.nan
    return numbers


def unpack(prediction: Packed, plan: Plan, mask: Mask | None, dtype: Precision) -> list[xr.Variable]:
    """Each feature of a packed prediction on the file's dimensions, in its order and direction; NaN where masked."""
    values = prediction.astype(dtype, copy=mask is not None)
    if mask is not None:
        values[mask] = np.nan
    return [xr.Variable(list(plan.sizes), feature) for feature in np.moveaxis(as_in_file(values, plan), -1, 0)]


def as_in_file(values: npt.NDArray[Any], plan: Plan) -> npt.NDArray[Any]:
    """Values `(batch, *grid, ...)` along the dimensions of the file, in its order and direction, and then the rest."""
    order = [*plan.batch, *plan.grid]
    shaped = values.reshape([*(plan.sizes[dim] for dim in order), *values.shape[1 + len(plan.grid) :]])
    turned = shaped[tuple(slice(None, None, -1 if dim in plan.decreasing else 1) for dim in order)]
    return turned.transpose([*(order.index(dim) for dim in plan.sizes), *range(len(order), turned.ndim)])
