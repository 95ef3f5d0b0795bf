"""From a packed prediction to a file of the user's kind, with the user's coordinates and attributes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from equifield.package.manifest import Component, FieldSpec, Manifest, packed_fields

from ..arenas import ArenaFull
from ..domain.errors import NotAcceptable
from .classic_writing import write_classic
from .describing import clean
from .packing import Packed, Plan, unpack
from .shell import Shell
from .values import Allocate, Bytes, Kind, WriteOptions

COMPONENT_DIMS = ("component_i", "component_j", "component_k", "component_l")


@dataclass(frozen=True)
class Content:
    """What an answer holds."""

    variables: dict[str, xr.Variable]
    attrs: dict[str, Any]
    unlimited: list[str]


def answer(
    shell: Shell,
    manifest: Manifest,
    plan: Plan,
    prediction: Packed,
    attributes: Mapping[str, str],
    options: WriteOptions,
) -> Content:
    """What goes back: the output fields, the coordinates that were sent, and their attributes."""
    outputs = _outputs(manifest, plan, unpack(prediction, plan, shell.mask, options.dtype))
    for output in outputs.values():
        output.encoding |= _encoding(output, shell.mask is not None, options)
    kept = {name: variable for name, variable in shell.variables.items() if name not in outputs}
    variables, said = kept | outputs, _global_attributes(shell.attrs, attributes, plan.notes)
    if plan.records and plan.steps is not None:
        return Content(_as_records(variables, plan.steps), said, [plan.steps])
    dims = {dim for variable in variables.values() for dim in variable.dims}
    return Content(variables, said, [dim for dim in shell.unlimited if dim in dims])


def _as_records(variables: Mapping[str, xr.Variable], axis: str) -> dict[str, xr.Variable]:
    return {
        name: variable.transpose(axis, ...) if axis in variable.dims else variable
        for name, variable in variables.items()
    }


def _encoding(output: xr.Variable, masked: bool, options: WriteOptions) -> dict[str, Any]:
    packing = {"zlib": True, "complevel": options.compress, "shuffle": True} if options.compress else {}
    return packing | ({"_FillValue": output.dtype.type(np.nan)} if masked else {})


def _global_attributes(sent: Mapping[str, Any], added: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    merged = dict(sent) | dict(added)
    lines = [str(sent["history"])] if "history" in sent and ("history" in added or notes) else []
    said = "; ".join([added["history"], *notes] if "history" in added else notes)
    if said:
        merged["history"] = "\n".join([*lines, said])
    return merged


def _outputs(manifest: Manifest, plan: Plan, values: list[xr.Variable]) -> dict[str, xr.Variable]:
    outputs: dict[str, xr.Variable] = {}
    first = 0
    for field in packed_fields(manifest.outputs):
        count = len(field.components)
        features = values[first : first + count]
        layout = _stacked_layout(field, plan) if field.order else None
        if layout is None:
            outputs |= _split(field, manifest, plan, features)
        else:
            outputs[field.name] = _stacked(field, manifest, plan, features, *layout)
        first += count
    return outputs


def _stacked_layout(field: FieldSpec, plan: Plan) -> tuple[list[str], bool] | None:
    """The layout of the input field of this name, else of the first that was sent stacked; None: split."""
    if not plan.stacked:
        return None
    dims, leading = plan.stacked.get(field.name, next(iter(plan.stacked.values())))
    names = list(dict.fromkeys([*dims, *(name for name in COMPONENT_DIMS if name not in plan.sizes)]))
    return names[: field.order], leading


def _split(field: FieldSpec, manifest: Manifest, plan: Plan, features: list[xr.Variable]) -> dict[str, xr.Variable]:
    dimension_of = dict(zip(manifest.grid.axes, plan.grid, strict=True))
    variables = {}
    for index, component in enumerate(_in_order(field, manifest)):
        schema: dict[str, Any] = {}
        if field.order:
            schema = {
                "tensor_field": field.name,
                "tensor_axis": " ".join(dimension_of[axis] for axis in component.axes),
            }
        long_name = ", ".join([field.long_name or field.name, *(["".join(component.axes)] if component.axes else [])])
        attributes = _attributes(field, plan, component.standard_names, long_name) | schema
        variables[component.variable] = _output(features[index], attributes)
    return variables


def _stacked(
    field: FieldSpec, manifest: Manifest, plan: Plan, features: list[xr.Variable], dims: list[str], leading: bool
) -> xr.Variable:
    ndim = len(manifest.grid.axes)
    shape = [*plan.sizes.values(), *([ndim] * field.order)]
    values = np.stack([feature.values for feature in features], axis=-1)
    variable = xr.Variable([*plan.sizes, *dims], values.reshape(shape))
    attributes = _attributes(field, plan, (), field.long_name or field.name) | {
        "tensor_dims": " ".join(dims),
        "tensor_axes": " ".join(plan.grid),
    }
    return _output(variable.transpose(*dims, ...) if leading else variable, attributes)


def _in_order(field: FieldSpec, manifest: Manifest) -> list[Component]:
    axes = manifest.grid.axes
    return sorted(field.components, key=lambda component: [axes.index(axis) for axis in component.axes])


def _attributes(field: FieldSpec, plan: Plan, standard_names: tuple[str, ...], long_name: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {"long_name": long_name}
    if standard_names:
        attributes["standard_name"] = standard_names[0]
    if field.units is not None:
        attributes["units"] = field.units
    # NetCDF-3 has no 64-bit integers
    attributes |= {"tensor_order": np.int32(field.order), "tensor_parity": np.int32(field.parity)}
    if field.symmetry:
        attributes["tensor_symmetry"] = " ".join(field.symmetry)
    return attributes | plan.repeated


def _output(variable: xr.Variable, attributes: Mapping[str, Any]) -> xr.Variable:
    return xr.Variable(variable.dims, variable.values, attributes)


def serialise(content: Content, options: WriteOptions, sent: Kind, new: Allocate = np.empty) -> Bytes:
    """The content as the bytes of a file.

    Raises:
        NotAcceptable: The kind that was asked for cannot hold the coordinates of the kind that was sent.
    """
    try:
        if options.kind == "netcdf3":
            return write_classic(content.variables, content.attrs, content.unlimited, new)
        for variable in content.variables.values():
            if "_FillValue" not in variable.attrs:
                variable.encoding.setdefault("_FillValue", None)
        data = xr.Dataset(content.variables, attrs=content.attrs)
        data.encoding["unlimited_dims"] = set(content.unlimited)
        if options.kind == "json":
            text = json.dumps(_without_nan(data.to_dict()), default=_plain, allow_nan=False)
            return np.frombuffer(text.encode(), np.uint8)
        return np.frombuffer(data.to_netcdf(engine="netcdf4", format="NETCDF4"), np.uint8)
    except (ArenaFull, ImportError, MemoryError, OSError):  # nothing that is in the file
        raise
    except Exception as error:
        raise NotAcceptable(
            f"The coordinates and attributes of the {sent} file that was sent cannot be written as {options.kind} "
            f"({type(error).__name__}: {clean(error, 200)}). Ask for another kind with the header Accept, "
            f"or leave them out."
        ) from error


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null says that a value is missing."""
    if isinstance(value, Mapping):
        return {_plain(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.item() if isinstance(value, np.generic) else str(value) if not isinstance(value, str) else value
