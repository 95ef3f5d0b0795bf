"""The attributes by which variables say what tensors they are: order, parity, and where their parts lie."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from ..package.manifest import FieldSpec

Variables = Mapping[Any, xr.Variable] | Mapping[Any, xr.DataArray]


@dataclass(frozen=True)
class FileField:
    """A tensor field as a file's own attributes describe it.

    - name: the attribute `tensor_field`, else the variable's name.
    - order, parity: None when the attributes are not numbers; the order also where it differs between components.
    - components: the dimensions that each component points along, and its variable.
    - component_dims: of a stacked field, the dimensions that count components.
    - directions: of a stacked field, the dimensions that component 0, 1, ... points along; empty: the axes.
    """

    name: str
    order: int | None
    parity: int | None
    components: tuple[tuple[tuple[str, ...], str], ...]
    component_dims: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()


def fields_in(variables: Variables) -> list[FileField]:
    """The tensor fields that a file declares; several variables with one `tensor_field` are one field."""
    fields: dict[str, FileField] = {}
    for key, variable in variables.items():
        attributes = variable.attrs
        if "tensor_order" not in attributes and "tensor_field" not in attributes:
            continue
        field = _declared(key, attributes)
        known = fields.get(field.name)
        if known is not None:
            same = (known.order, known.parity) == (field.order, field.parity)
            field = replace(
                known, order=known.order if same else None, components=(*known.components, *field.components)
            )
        fields[field.name] = field
    return list(fields.values())


def _declared(name: str, attributes: Mapping[Any, Any]) -> FileField:
    dims = words(attributes, "tensor_dims")
    return FileField(
        name=str(attributes.get("tensor_field", name)),
        order=integer(attributes.get("tensor_order")),
        parity=integer(attributes.get("tensor_parity", 0)),
        components=(((), name) if dims else (words(attributes, "tensor_axis"), name),),
        component_dims=dims,
        directions=words(attributes, "tensor_axes"),
    )


def contradictions(attributes: Mapping[Any, Any], field: FieldSpec) -> dict[str, int]:
    """The attributes that say something else than the field they are to be read as, and what the field would say."""
    wanted = {"tensor_order": field.order, "tensor_parity": field.parity}
    said = {name: attributes[name] for name in wanted if attributes.get(name) is not None}
    return {name: wanted[name] for name, value in said.items() if integer(value) != wanted[name]}


def stacked_dimensions(variable: xr.Variable | xr.DataArray, order: int) -> tuple[str, ...]:
    """The dimensions that count components: those that the attribute `tensor_dims` names, else the last `order`."""
    last = variable.dims[variable.ndim - order :] if order <= variable.ndim else variable.dims
    return words(variable.attrs, "tensor_dims") or tuple(map(str, last))


def counts_components(variable: xr.Variable | xr.DataArray, dims: tuple[str, ...], order: int, ndim: int) -> bool:
    """Whether these dimensions of a variable are as many as the order, and as long as there are axes."""
    return len(set(dims)) == len(dims) == order and all(variable.sizes.get(dim) == ndim for dim in dims)


def integer(value: Any) -> int | None:
    """An attribute as an integer; None if it is anything else."""
    array = np.asarray(value)
    return int(array.reshape(())) if array.size == 1 and array.dtype.kind in "iu" else None


def words(attributes: Mapping[Any, Any], name: str) -> tuple[str, ...]:
    """The words of an attribute; none if it is no text."""
    value = attributes.get(name)
    return tuple(value.split()) if isinstance(value, str) else ()
