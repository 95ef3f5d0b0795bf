"""Fields as named tensors, for callers who have arrays and no files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equifield.package.manifest import FieldSpec, Manifest, packed_fields

from ..scheduling import Array
from .errors import EmptyDimension, InfiniteValues, InvalidTensors, MissingValues
from .grids import check_grid

Given = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Tensor:
    """One field as a tensor of the shape `(batch, *grid, *shape)`, in the units of the manifest.

    Attributes:
        name: That of the field.
        shape: One axis of as many entries as the grid has axes for each order: `()` for a scalar, `(2,)` for a
            vector in the plane. Entries are in the order of the grid's axes.
        features: Where its entries lie in a packed array.
    """

    name: str
    shape: tuple[int, ...]
    features: slice


class Tensors:
    """What a model takes and gives, as tensors."""

    def __init__(self, manifest: Manifest):
        self.manifest = manifest
        self.inputs = _tensors(manifest.inputs, manifest.ndim)
        self.outputs = _tensors(manifest.outputs, manifest.ndim)
        self._features = sum(manifest.ndim**field.order for field in manifest.inputs)
        self._takes = ", ".join(tensor.name for tensor in self.inputs)

    def pack(self, given: Given) -> Array:
        """The inputs as one float32 array `(batch, *grid, features)`, as the model takes it.

        Raises:
            InvalidTensors: a tensor is missing, unknown, or of another shape than the others or the manifest say.
            GridUnsupported, EmptyDimension: the model cannot take this grid, or there is no sample.
            MissingValues, InfiniteValues: not every number is finite in single precision.
        """
        points = self._points(given)
        packed = np.empty((*points, self._features), np.float32)
        with np.errstate(over="ignore"):  # what is too large for single precision is refused as infinite
            for tensor in self.inputs:
                _copy(given[tensor.name].reshape(*points, -1), packed[..., tensor.features])
        if not np.isfinite(packed).all():
            raise self._not_finite(packed)
        return packed

    def unpack(self, packed: Array) -> dict[str, Array]:
        """The outputs by name."""
        outputs, points = {}, packed.shape[:-1]
        for tensor in self.outputs:
            features = packed[..., tensor.features]
            values = np.empty(features.shape, np.float32)
            _copy(features, values)
            outputs[tensor.name] = values.reshape(*points, *tensor.shape)
        return outputs

    def _points(self, given: Given) -> tuple[int, ...]:
        """The batch and the grid that all tensors share."""
        if len(given) != len(self.inputs) or any(tensor.name not in given for tensor in self.inputs):
            raise InvalidTensors(f"The inputs are {list(given)!r:.200}; the model takes {self._takes}, each once.")
        length = 1 + len(self.manifest.grid.axes)
        points = given[self.inputs[0].name].shape[:length]
        for tensor in self.inputs:
            shape = given[tensor.name].shape
            if len(points) != length or shape != points + tensor.shape:
                raise InvalidTensors(
                    f"Input {tensor.name} has the shape {list(shape)}; the model takes [batch, "
                    f"{', '.join(self.manifest.grid.axes + tuple(map(str, tensor.shape)))}], with one batch and one "
                    f"grid for all inputs."
                )
        check_grid(self.manifest.grid, points[1:])
        if points[0] == 0:
            raise EmptyDimension("The batch has no sample. Send at least one.")
        return points

    def _not_finite(self, packed: Array) -> MissingValues | InfiniteValues:
        faulty = next(tensor for tensor in self.inputs if not np.isfinite(packed[..., tensor.features]).all())
        values = packed[..., faulty.features]
        if missing := int(np.count_nonzero(np.isnan(values))):
            return MissingValues(f"Input {faulty.name} has {missing} values that are not a number. Fill them first.")
        infinite = int(np.count_nonzero(np.isinf(values)))
        return InfiniteValues(f"Input {faulty.name} has {infinite} values that are infinite in single precision.")


def _copy(source: npt.NDArray[Any], target: Array) -> None:
    """Copies feature by feature: NumPy is four times as fast along many points as along a few features."""
    for feature in range(source.shape[-1]):
        target[..., feature] = source[..., feature]


def _tensors(fields: tuple[FieldSpec, ...], ndim: int) -> tuple[Tensor, ...]:
    """The fields in the order of the manifest, each with its place in a packed array."""
    places, end = {}, 0
    for field in packed_fields(fields):
        places[field.name] = slice(end, end := end + ndim**field.order)
    return tuple(Tensor(field.name, (ndim,) * field.order, places[field.name]) for field in fields)
