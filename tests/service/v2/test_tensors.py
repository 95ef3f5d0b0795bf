"""Fields as tensors: they are packed as the model takes them, and come back as they were packed."""

import itertools

import numpy as np
import pytest

from equifield.package import Component, FieldSpec, GridSpec, Manifest
from equifield.package.manifest import packed_components
from equifield_service.domain.errors import (
    EmptyDimension,
    GridUnsupported,
    InfiniteValues,
    InvalidTensors,
    MissingValues,
)
from equifield_service.domain.tensors import Tensors
from tests.service import packages

AXES = ("x", "y")
STRESS = FieldSpec(
    name="stress",
    order=2,
    components=tuple(Component(axes=(a, b), variable=a + b) for b, a in itertools.product(AXES, repeat=2)),
)
FIELDS = (STRESS, packages.VELOCITY, packages.TRACER)
MANIFEST: Manifest = packages.manifest().model_copy(update={"inputs": FIELDS, "outputs": FIELDS})
TENSORS = Tensors(MANIFEST)
SHAPES = {"stress": (2, 2), "velocity": (2,), "tracer": ()}


def given(grid: tuple[int, ...] = (4, 6), batch: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((batch, *grid, *shape)).astype(np.float32) for name, shape in SHAPES.items()}


def test_every_component_lies_where_the_manifest_packs_it() -> None:
    tensors = given()
    packed = TENSORS.pack(tensors)
    for feature, (field, component) in enumerate(packed_components(MANIFEST.inputs, MANIFEST.grid.axes)):
        found = tensors[field.name]
        for axis in component.axes:  # each takes the first of the axes behind batch and grid
            found = found.take(MANIFEST.grid.axes.index(axis), axis=3)
        np.testing.assert_array_equal(packed[..., feature], found)


def test_what_is_unpacked_is_what_was_packed() -> None:
    tensors = given()
    found = TENSORS.unpack(TENSORS.pack(tensors))
    assert list(found) == ["stress", "velocity", "tracer"]
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_other_precisions_are_converted() -> None:
    tensors = given()
    doubles = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    np.testing.assert_array_equal(TENSORS.pack(doubles), TENSORS.pack(tensors))
    assert TENSORS.pack(doubles).dtype == np.float32


def refusal(kind: type[Exception], match: str, **changes: np.ndarray | None) -> None:
    tensors = {name: tensor for name, tensor in {**given(), **changes}.items() if tensor is not None}
    with pytest.raises(kind, match=match):
        TENSORS.pack(tensors)


def test_tensors_that_are_missing_or_unknown_or_do_not_match_are_refused() -> None:
    refusal(InvalidTensors, r"takes stress, velocity, tracer", tracer=None)
    refusal(InvalidTensors, r"takes stress, velocity, tracer", extra=np.zeros(1))
    refusal(InvalidTensors, r"tracer has the shape \[3, 4, 7\].*\[batch, x, y\]", tracer=np.zeros((3, 4, 7)))
    refusal(InvalidTensors, r"velocity has the shape .*\[batch, x, y, 2\]", velocity=np.zeros((3, 4, 6, 3)))
    refusal(InvalidTensors, "stress has the shape", stress=np.zeros(3))


def test_grids_that_the_model_does_not_take_are_refused() -> None:
    for grid in ((5, 6), (2, 6), (0, 6)):
        with pytest.raises(GridUnsupported):
            TENSORS.pack(given(grid))
    with pytest.raises(EmptyDimension):
        TENSORS.pack(given(batch=0))
    assert GridSpec.model_validate(MANIFEST.grid).minimum == 4, "control: 4 x 6 is taken"


@pytest.mark.parametrize(
    ("value", "kind"), [(np.nan, MissingValues), (np.inf, InfiniteValues), (1e300, InfiniteValues)], ids=str
)
def test_what_is_not_finite_in_single_precision_is_refused_with_its_field(value: float, kind: type[Exception]) -> None:
    velocity = given()["velocity"].astype(np.float64)
    velocity[1, 2, 3, 0] = value
    refusal(kind, "velocity has 1 values", velocity=velocity)
