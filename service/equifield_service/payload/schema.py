"""The attributes by which variables say what tensor they are: order, parity, and where its parts lie."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from equifield.package.manifest import FieldSpec

from ..domain.errors import SchemaMismatch
from .describing import clean, listing, text

SYMMETRIES = ("symmetric", "antisymmetric", "traceless")
"""What `tensor_symmetry` may say, one or more words."""


@dataclass(frozen=True)
class FileField:
    """A tensor field as the file's own attributes describe it.

    Attributes:
        name: The attribute `tensor_field`, else the variable's name.
        order: None when the attributes are not numbers, or differ between the components.
        components: The dimensions that each component points along, and its variable.
        component_dims: Of a stacked field, the dimensions that count components.
        directions: Of a stacked field, the dimensions that component 0, 1, ... points along.
    """

    name: str
    order: int | None
    parity: int | None
    components: tuple[tuple[tuple[str, ...], str], ...]
    component_dims: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()


def fields_in(variables: Mapping[str, xr.Variable]) -> list[FileField]:
    """The tensor fields that a file declares; several variables with one `tensor_field` are one field."""
    fields: dict[str, FileField] = {}
    for key, variable in variables.items():
        attributes = variable.attrs
        if "tensor_order" not in attributes and "tensor_field" not in attributes:
            continue
        field = _declared(key, variable)
        known = fields.get(field.name)
        if known is not None:
            same = (known.order, known.parity) == (field.order, field.parity)
            field = replace(
                known, order=known.order if same else None, components=(*known.components, *field.components)
            )
        fields[field.name] = field
    return list(fields.values())


def _declared(name: str, variable: xr.Variable) -> FileField:
    attributes = variable.attrs
    dims = words(attributes, "tensor_dims")
    return FileField(
        name=str(attributes.get("tensor_field", name)),
        order=integer(attributes.get("tensor_order")),
        parity=integer(attributes.get("tensor_parity", 0)),
        components=(((), name) if dims else (words(attributes, "tensor_axis"), name),),
        component_dims=dims,
        directions=words(attributes, "tensor_axes"),
    )


def integer(value: Any) -> int | None:
    """An attribute as an integer; None if it is anything else."""
    array = np.asarray(value)
    return int(array.reshape(())) if array.size == 1 and array.dtype.kind in "iu" else None


def words(attributes: Mapping[Any, Any], name: str) -> tuple[str, ...]:
    """The words of an attribute; none if it is no text."""
    return tuple(text(attributes, name).split())


def check_declared(name: str, variable: xr.Variable, field: FieldSpec) -> None:
    """Refuses a variable whose attributes contradict the field it is to be read as."""
    for attribute, wanted in (("tensor_order", field.order), ("tensor_parity", field.parity)):
        value = variable.attrs.get(attribute)
        if value is not None and integer(value) != wanted:
            raise SchemaMismatch(
                f"Variable '{clean(name)}' says {attribute}={clean(value)}, but field '{field.name}' of the "
                f"model has {wanted}. Choose another variable with `map`, or correct the attribute."
            )
    _check_symmetry_words(name, variable.attrs.get("tensor_symmetry", ""), field)


def _check_symmetry_words(name: str, value: Any, field: FieldSpec) -> None:
    if not isinstance(value, str) or set(value.split()) - set(SYMMETRIES):
        raise SchemaMismatch(
            f"Variable '{clean(name)}' says tensor_symmetry={clean(value)}; the words that are known are "
            f"{listing(SYMMETRIES)}. Correct the attribute, or leave it out."
        )
    if value and field.order < 2:
        raise SchemaMismatch(
            f"Variable '{clean(name)}' says tensor_symmetry={clean(value)}, but field '{field.name}' of the model has "
            f"order {field.order}, and only tensors of two or more indices have symmetries. Choose another variable "
            f"with `map`, or leave the attribute out."
        )


def stacked_dimensions(
    variable: xr.Variable, order: int, ndim: int, name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The dimensions of a variable that count tensor components, and what their indices point along.

    The attributes `tensor_dims` and `tensor_axes` say it; without them, the last `order` dimensions count
    along the model's axes.
    """
    dims = words(variable.attrs, "tensor_dims") or tuple(str(dim) for dim in variable.dims[-order:])
    check_stacked(variable, dims, order, ndim, name)
    return dims, words(variable.attrs, "tensor_axes")


def check_stacked(variable: xr.Variable, dims: tuple[str, ...], order: int, ndim: int, name: str) -> None:
    """Refuses a stacked variable that does not have one dimension of length `ndim` per order."""
    sizes = dict(zip(variable.dims, variable.shape, strict=True))
    if len(dims) != order or len(set(dims)) != order or any(sizes.get(dim) != ndim for dim in dims):
        found = listing(f"{dim}={size}" for dim, size in sizes.items())
        raise SchemaMismatch(
            f"Variable '{clean(name)}' has the dimensions {found}; a stacked field of order {order} on "
            f"{ndim} axes needs {order} different dimensions of length {ndim} that count its components."
        )
