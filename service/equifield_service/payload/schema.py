"""Refuses variables whose attributes contradict the field that a model wants."""

from typing import Any, get_args

import xarray as xr

from equifield.conventions.tensors import contradictions, counts_components
from equifield.package.manifest import FieldSpec, TensorSymmetry

from ..domain.errors import SchemaMismatch
from .describing import clean, listing

SYMMETRIES = get_args(TensorSymmetry)
"""What `tensor_symmetry` may say, one or more words."""


def check_declared(name: str, variable: xr.Variable, field: FieldSpec) -> None:
    """Refuses a variable whose attributes contradict the field it is to be read as."""
    for attribute, wanted in contradictions(variable.attrs, field).items():
        raise SchemaMismatch(
            f"Variable '{clean(name)}' says {attribute}={clean(variable.attrs[attribute])}, but field '{field.name}' "
            f"of the model has {wanted}. Choose another variable with `map`, or correct the attribute."
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


def check_stacked(variable: xr.Variable, dims: tuple[str, ...], order: int, ndim: int, name: str) -> None:
    """Refuses a stacked variable that does not have one dimension of length `ndim` per order."""
    if not counts_components(variable, dims, order, ndim):
        found = listing(f"{dim}={size}" for dim, size in variable.sizes.items())
        raise SchemaMismatch(
            f"Variable '{clean(name)}' has the dimensions {found}; a stacked field of order {order} on "
            f"{ndim} axes needs {order} different dimensions of length {ndim} that count its components."
        )
