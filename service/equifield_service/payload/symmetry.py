"""The symmetry that a tensor says it has (`tensor_symmetry`), held against its values."""

import itertools

import numpy as np
import numpy.typing as npt

from equifield.conventions.tensors import words
from equifield.package.manifest import FieldSpec, Manifest, packed_fields

from ..domain.errors import SchemaMismatch
from .describing import clean
from .fields import Found
from .packing import Packed, Plan, as_in_file
from .reading import File

TOLERANCE = 1e-4
"""Of the largest value of the field: twice what packing into 16 bits can do to a trace in space."""


def check_symmetry(file: File, manifest: Manifest, found: list[Found], packed: Packed, plan: Plan) -> None:
    """Refuses a field whose values do not have the symmetry that its attribute says; missing values have any.

    Args:
        packed: `(batch, *grid, features)`, NaN where a value is missing.

    Raises:
        SchemaMismatch: With the first position.
    """
    for place in found:
        names = place.variables.values()
        said = {word: name for name in names for word in words(file.variables[name].attrs, "tensor_symmetry")}
        for word, name in said.items():
            _check(word, name, place.field, _features(packed, place.field, manifest), plan)


def _features(packed: Packed, field: FieldSpec, manifest: Manifest) -> Packed:
    """The features of one field, last tensor index fastest."""
    fields = packed_fields(manifest.inputs)
    start = sum(len(other.components) for other in fields[: fields.index(field)])
    return packed[..., start : start + len(field.components)]


def _check(word: str, name: str, field: FieldSpec, features: Packed, plan: Plan) -> None:
    largest = max(np.fmax.reduce(features, axis=None), -np.fmin.reduce(features, axis=None))
    excess = np.stack([_excess(word, sample, field.order) for sample in features])  # one by one, to save memory
    bad = excess > TOLERANCE * largest
    if bad.any():
        first = _position(bad, plan)
        shown = ", ".join(f"{dim}={at}" for dim, at in first.items())
        raise SchemaMismatch(
            f"Variable '{clean(name)}' says tensor_symmetry={word}, but field '{field.name}' is not {word} at "
            f"{int(bad.sum())} of {bad.size} points, the first at ({shown}); it is off by up to "
            f"{np.fmax.reduce(excess, axis=None):g}. Correct the values, or leave the attribute out.",
            variable=clean(name),
            first=first,
        )


def _excess(word: str, sample: Packed, order: int) -> Packed:
    """By how much the tensors of one sample, `(*grid, features)`, lack a symmetry in any two of their indices."""
    ndim = sample.ndim - 1
    tensors = sample.reshape(*sample.shape[:-1], *[ndim] * order)
    pairs = itertools.combinations(range(ndim, tensors.ndim), 2)
    residuals = [np.abs(_residual(word, tensors, *pair)).reshape(*sample.shape[:-1], -1) for pair in pairs]
    return np.asarray(np.fmax.reduce(np.concatenate(residuals, axis=-1), axis=-1))


def _residual(word: str, tensors: Packed, one: int, other: int) -> Packed:
    """What two tensor indices of a field with that symmetry leave: zero."""
    match word:
        case "symmetric":
            return np.asarray(tensors - tensors.swapaxes(one, other))
        case "antisymmetric":
            return np.asarray(tensors + tensors.swapaxes(one, other))
        case _:
            return np.asarray(np.trace(tensors, axis1=one, axis2=other))


def _position(bad: npt.NDArray[np.bool_], plan: Plan) -> dict[str, int]:
    """The first place, as the file counts: batch dimensions apart, decreasing axes from their other end."""
    first = np.argwhere(as_in_file(bad, plan))[0]
    return {clean(dim): int(at) for dim, at in zip(plan.sizes, first, strict=True)}
