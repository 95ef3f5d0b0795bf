"""Axes are found by the request, by CF attributes, by name; the grid is one that the model takes, or is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import (
    AxisAmbiguous,
    AxisMissing,
    EmptyDimension,
    GridUnsupported,
    InvalidQuery,
    SpacingNotUniform,
    StaggeredGrid,
)

Write = Callable[..., bytes]


def grid(first: dict[str, Any] | None = None, second: dict[str, Any] | None = None, **options: Any) -> xr.Dataset:
    """u and v on (a, b) of 4 x 6, with attributes on the coordinates; None: no coordinate."""
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    data = xr.Dataset({"u": (("a", "b"), values), "v": (("a", "b"), -values)})
    for name, attributes, size in (("a", first, 4), ("b", second, 6)):
        if attributes is not None:
            data[name] = (name, options.get(name, np.arange(size) * 1.0), attributes)
    return data


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"axis": "Y"}, {"axis": "X"}),
        ({"units": "degrees_north"}, {"units": "degrees_east"}),
        ({"units": "degree_N"}, {"units": "degreesE"}),
        ({"standard_name": "projection_y_coordinate"}, {"standard_name": "projection_x_coordinate"}),
        ({"standard_name": "latitude"}, {"axis": "X"}),
    ],
    ids=["axis", "units", "units, other spelling", "standard_name", "mixed"],
)
def test_cf_attributes_tell_the_axes(
    pool: Any, models: Any, write: Write, first: dict[str, Any], second: dict[str, Any]
) -> None:
    data = grid(first, second)
    assert np.array_equal(pool.decode(write(data), models.velocity).array[0, ..., 0], data.u.values.T)


@pytest.mark.parametrize("names", [{"a": "y", "b": "x"}, {"a": "Y", "b": "X"}], ids=["lower", "upper"])
def test_names_tell_the_axes_without_coordinates(pool: Any, models: Any, write: Write, names: dict[str, str]) -> None:
    data = grid().rename(names)
    assert np.array_equal(pool.decode(write(data), models.velocity).array[0, ..., 0], data.u.values.T)


def test_the_request_decides_before_the_file(pool: Any, models: Any, write: Write) -> None:
    body = write(grid({"axis": "Y"}, {"axis": "X"}))
    array = pool.decode(body, models.velocity, axes={"x": "a", "y": "b"}).array
    assert array.shape == (1, 4, 6, 2)


def test_an_axis_of_the_file_comes_before_its_names(pool: Any, models: Any, write: Write) -> None:
    data = grid({"axis": "X"}, {"axis": "Y"}).rename(a="y", b="x")
    assert pool.decode(write(data), models.velocity).array.shape == (1, 4, 6, 2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"axis": "X", "units": "degrees_north"}, {"axis": "Y", "units": "degrees_east"}),
        (
            {"units": "degrees_east", "standard_name": "latitude"},
            {"units": "degrees_north", "standard_name": "longitude"},
        ),
        ({"standard_name": "longitude"}, {"standard_name": "latitude"}),
    ],
    ids=["axis before units", "units before standard_name", "standard_name before names"],
)
def test_the_stronger_sign_of_an_axis_decides(
    pool: Any, models: Any, write: Write, first: dict[str, Any], second: dict[str, Any]
) -> None:
    data = grid(first, second).rename(a="y", b="x")
    assert pool.decode(write(data), models.velocity).array.shape == (1, 4, 6, 2)


def test_an_unknown_axis_is_refused_with_the_dimensions(pool: Any, models: Any, write: Write) -> None:
    with pytest.raises(AxisMissing, match="'a', 'b' have no axis attribute.*axes=x:NAME_OF_DIMENSION"):
        pool.decode(write(grid({}, {})), models.velocity)


def test_an_axis_twice_is_refused(pool: Any, models: Any, write: Write) -> None:
    with pytest.raises(AxisAmbiguous, match="'x' could be any of 'a', 'b': each has axis='X'"):
        pool.decode(write(grid({"axis": "X"}, {"axis": "X"})), models.velocity)


def test_one_dimension_for_two_axes_is_refused(pool: Any, models: Any, write: Write) -> None:
    with pytest.raises(AxisAmbiguous, match="'x', 'y' were all found in 'a'"):
        pool.decode(write(grid({"axis": "Y"}, {})), models.velocity, axes={"x": "a"})


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        ({"x": "lon"}, AxisMissing, "`axes=x:lon` names no dimension"),
        ({"q": "a"}, InvalidQuery, "'q', but the axes of model 'identity' are 'x', 'y'"),
    ],
    ids=["unknown dimension", "unknown axis"],
)
def test_wrong_axes_in_the_request_are_refused(
    pool: Any, models: Any, write: Write, axes: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pool.decode(write(grid({"axis": "Y"}, {"axis": "X"})), models.velocity, axes=axes)


def test_components_on_different_grids_are_called_staggered(pool: Any, models: Any, write: Write) -> None:
    data = xr.Dataset({"u": (("y", "xu"), np.ones((4, 5))), "v": (("yv", "x"), np.ones((5, 4)))})
    with pytest.raises(StaggeredGrid, match="staggered: 'u' lies on 'xu', 'y', but 'v' on 'x', 'yv'"):
        pool.decode(write(data), models.velocity)


def test_a_field_without_an_axis_is_refused(pool: Any, models: Any, write: Write) -> None:
    data = xr.Dataset({"u": (("y", "x"), np.ones((4, 5))), "v": (("y",), np.ones(4))})
    with pytest.raises(AxisMissing, match="'v' does not vary along 'x'"):
        pool.decode(write(data), models.velocity)


def test_a_dimension_of_length_zero_is_refused(pool: Any, models: Any, write: Write) -> None:
    data = grid({"axis": "Y"}, {"axis": "X"}).expand_dims(time=0)
    with pytest.raises(EmptyDimension, match="'time' has length 0"):
        pool.decode(write(data), models.velocity)


@pytest.mark.parametrize(
    ("demands", "nearest"),
    [
        ({"multiple": 4}, {"x": [4, 8]}),
        ({"multiple": 8}, {"x": [8], "y": [8]}),
        ({"minimum": 6}, {"y": [6]}),
        ({"multiple": 4, "minimum": 9}, {"x": [12], "y": [12]}),
    ],
    ids=["multiple of 4", "multiple of 8", "at least 6", "both"],
)
def test_sizes_that_do_not_fit_are_refused_with_the_nearest_that_do(
    pool: Any, models: Any, write: Write, demands: dict[str, int], nearest: dict[str, list[int]]
) -> None:
    with pytest.raises(GridUnsupported, match="Nearest: ") as refusal:
        pool.decode(write(grid({"axis": "Y"}, {"axis": "X"})), models.on(models.velocity, **demands))
    assert refusal.value.extra["nearest"] == nearest


@pytest.mark.parametrize(
    ("coordinate", "message"),
    [
        ([0, 1, 2, 3, 4, 5.01], "steps from 1 to 1.01"),
        ([0, 2, 4, 6, 8, 10], "1 along 'a'|2 along 'b'"),
        ([0, 1, 2, 3, 2, 1], "neither increases nor decreases"),
        ([0, 1, np.nan, 3, 4, 5], "neither increases nor decreases"),
    ],
    ids=["uneven", "differs between axes", "not monotonic", "missing"],
)
def test_uneven_spacing_is_refused(pool: Any, models: Any, write: Write, coordinate: list[float], message: str) -> None:
    data = grid({"axis": "Y"}, {"axis": "X"}, b=np.array(coordinate))
    with pytest.raises(SpacingNotUniform, match=message):
        pool.decode(write(data), models.velocity)


@pytest.mark.parametrize(
    "coordinate", [[0, 1, 2, 3, 4, 5.001], [5, 4, 3, 2, 1, 0]], ids=["within tolerance", "decreasing"]
)
def test_even_spacing_is_accepted(pool: Any, models: Any, write: Write, coordinate: list[float]) -> None:
    data = grid({"axis": "Y"}, {"axis": "X"}, b=np.array(coordinate))
    assert pool.decode(write(data), models.velocity).array.shape == (1, 6, 4, 2)


def test_uneven_spacing_is_accepted_when_the_model_reads_indices(pool: Any, models: Any, write: Write) -> None:
    data = grid({"axis": "Y"}, {"axis": "X"}, b=np.array([9.0, 7, 3, 2, 1, 0]))
    array = pool.decode(write(data), models.on(models.velocity, spacing="any")).array
    assert np.array_equal(array[0, ..., 0], data.u.values.T[::-1])


def test_a_linked_coordinate_gives_the_direction(pool: Any, models: Any, write: Write) -> None:
    data = grid().rename(a="y", b="x")
    data["distance"] = ("x", np.arange(6)[::-1] * 1.0)
    data.u.attrs["coordinates"] = "distance"
    array = pool.decode(write(data), models.velocity).array
    assert np.array_equal(array[0, ..., 0], data.u.values.T[::-1])
