"""Samples by number: arrays, states, pairs; and parts of a series that share no trajectory."""

import numpy as np
import pytest

from equifield import FieldType
from equifield.train.data import Arrays, ArraySeries, Constants, Pairs, Samples, Series, States, split
from equifield.train.data._image import host_image
from tests.engine.train.numbered import FLOW, GRID, TORUS, numbered, pixel, values


def test_arrays_are_chosen_along_their_first_axis() -> None:
    image = host_image(values(np.arange(5.0)), FieldType.parse("scalar"), TORUS)
    samples = Arrays((image, {"time": np.arange(5)}))
    chosen, rest = samples[np.array([3, 1])]
    assert isinstance(samples, Samples) and len(samples) == 5
    np.testing.assert_array_equal(pixel(chosen), [3, 1])
    np.testing.assert_array_equal(rest["time"], [3, 1])


@pytest.mark.parametrize(
    "tree", [(np.zeros(3), np.zeros(2)), np.zeros((0, 2)), np.float32(1), ()], ids=["two", "none", "number", "nothing"]
)
def test_data_without_one_number_of_samples_are_refused(tree: object) -> None:
    with pytest.raises(ValueError, match="one first axis of all its arrays"):
        Arrays(tree)


def test_a_series_reads_slices_and_any_times() -> None:
    series = numbered(2, 7, constants=True)
    assert isinstance(series, Series) and (series.trajectories, series.steps, series.grid) == (2, 7, GRID)
    np.testing.assert_array_equal(series.read(1, slice(1, 6, 2))[:, 0, 0, 0], [101, 103, 105])
    np.testing.assert_array_equal(series.read(0, np.array([5, 2]))[:, 0, 0, 0], [5, 2])
    assert series.read(0, slice(1)).dtype == np.float32
    constants = series.constants(1)
    assert constants is not None and constants.grid == GRID and constants.batch == ()
    assert numbered().constants(0) is None


def test_constants_may_be_the_same_for_all_trajectories() -> None:
    shared = host_image(values(np.array([7.0]))[0], FieldType.parse("scalar"), TORUS)
    series = ArraySeries(np.zeros((2, 3, *GRID, 3)), FLOW, TORUS, shared)
    for trajectory in (0, 1):
        constants = series.constants(trajectory)
        assert constants is not None and pixel(constants) == 7


@pytest.mark.parametrize(
    ("shape", "constants", "message"),
    [
        ((2, 3, *GRID, 2), None, r"needs an array of shape \(trajectories, steps, \*grid, 3\)"),
        ((2, 3, *GRID, 3), (2, 4, 4, 1), "on the grid of the states"),
        ((2, 3, *GRID, 3), (3, *GRID, 1), "with 2 trajectories"),
    ],
    ids=["features", "grid", "trajectories"],
)
def test_series_of_other_shapes_are_refused(
    shape: tuple[int, ...], constants: tuple[int, ...] | None, message: str
) -> None:
    scalar = FieldType.parse("scalar")
    fixed = None if constants is None else host_image(np.zeros(constants, np.float32), scalar, TORUS)
    with pytest.raises(ValueError, match=message):
        ArraySeries(np.zeros(shape), FLOW, TORUS, fixed)


def test_states_and_constants_of_a_series_are_samples() -> None:
    series = numbered(2, 3, constants=True)
    assert (len(States(series)), len(Constants(series))) == (6, 2)
    np.testing.assert_array_equal(pixel(States(series)[np.array([5, 0, 3])]), [102, 0, 100])
    np.testing.assert_array_equal(pixel(Constants(series)[np.array([1, 0])]), [-1, 0])
    with pytest.raises(ValueError, match="no constant fields"):
        Constants(numbered())


def test_pairs_join_two_grids_at_the_same_place_and_time() -> None:
    coarse = numbered(2, 3)
    fine = ArraySeries(np.repeat(np.repeat(coarse.array, 2, axis=2), 2, axis=3), FLOW, TORUS)
    pairs = Pairs(coarse, fine)
    x, y = pairs[np.array([4, 1])]
    assert len(pairs) == 6 and (x.grid, y.grid) == (GRID, (8, 12))
    np.testing.assert_array_equal(pixel(x), pixel(y))
    np.testing.assert_array_equal(pixel(x), [101, 1])
    with pytest.raises(ValueError, match="the same trajectories, times and boundaries"):
        Pairs(coarse, numbered(2, 4))


def names(series: Series) -> set[int]:
    return {int(series.read(number, slice(1))[0, 0, 0, 0]) // 100 for number in range(series.trajectories)}


def test_parts_share_no_trajectory() -> None:
    parts = split(numbered(20), training=12, validation=3, testing=5, seed=0)
    found = [names(part) for part in parts]
    assert [len(names) for names in found] == [12, 3, 5]
    assert set.union(*found) == set(range(20)), "so none is in two of them"


def test_more_trajectories_for_training_leave_the_other_parts_as_they_are() -> None:
    few, many = (split(numbered(20), training=n, validation=3, testing=5, seed=1) for n in (4, 9))
    assert names(few[0]) < names(many[0])
    assert [names(part) for part in few[1:]] == [names(part) for part in many[1:]]
    other = split(numbered(20), training=4, validation=3, testing=5, seed=2)
    assert names(few[2]) != names(other[2])


def test_pairs_are_divided_together() -> None:
    pairs = Pairs(numbered(6), numbered(6))
    for part in split(pairs, training=3, validation=1, testing=2, seed=0):
        assert names(part.inputs) == names(part.outputs)
        x, y = part[np.arange(len(part))]
        np.testing.assert_array_equal(x.array, y.array)


@pytest.mark.parametrize("training", [0, 4], ids=["none", "too many"])
def test_parts_that_there_cannot_be_are_refused(training: int) -> None:
    with pytest.raises(ValueError, match="divides 5 trajectories"):
        split(numbered(5), training=training, validation=1, testing=1, seed=0)
