"""Windows hold the right times of one trajectory, and only those are read."""

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Float32

from equifield.multi_image import MultiImage
from equifield.rollout import model_input
from equifield.train.data import ArraySeries, Samples, Series, Windows
from equifield.train.data._series import Times
from tests.engine.train.numbered import FLOW, GRID, TORUS, numbered, pixel


def every(windows: Windows) -> tuple[MultiImage, ...]:
    return windows[np.arange(len(windows))]


def test_windows_hold_the_right_times() -> None:
    windows = Windows(numbered(1, 12), past=2, future=3, interval=2, skip=1)
    assert isinstance(windows, Samples) and len(windows) == 3
    history, future = every(windows)
    assert history.array.shape == (3, 2, *GRID, 3) and future.array.shape == (3, 3, *GRID, 3)
    np.testing.assert_array_equal(pixel(history), [[1, 3], [2, 4], [3, 5]])
    np.testing.assert_array_equal(pixel(future), [[5, 7, 9], [6, 8, 10], [7, 9, 11]])
    first = history.with_array(jnp.moveaxis(jnp.asarray(history.array), 1, 0))
    np.testing.assert_array_equal(model_input(first).array[:, 0, 0, :2], [[1, 3], [2, 4], [3, 5]])


def test_a_window_never_crosses_from_one_trajectory_to_the_next() -> None:
    windows = Windows(numbered(3, 5), past=2, future=1)
    history, future = every(windows)
    states = np.concatenate([pixel(history), pixel(future)], axis=1)
    assert len(windows) == 9
    np.testing.assert_array_equal(states // 100, np.repeat([0, 1, 2], 3)[:, None] * np.ones((1, 3)))
    np.testing.assert_array_equal(states % 100, np.tile([[0, 1, 2], [1, 2, 3], [2, 3, 4]], (3, 1)))


def test_a_delta_is_the_difference_from_the_state_before_it() -> None:
    rng = np.random.default_rng(0)
    series = ArraySeries(rng.normal(size=(2, 11, *GRID, 3)), FLOW, TORUS)
    plain, delta = (every(Windows(series, past=2, future=2, interval=3, delta=d)) for d in (False, True))
    np.testing.assert_array_equal(plain[0].array, delta[0].array)
    before = np.concatenate([plain[0].array[:, -1:], plain[1].array[:, :-1]], axis=1)
    np.testing.assert_allclose(before + delta[1].array, plain[1].array, rtol=1e-5, atol=1e-6)


def test_constants_are_those_of_the_trajectory() -> None:
    windows = Windows(numbered(3, 4, constants=True), past=1, future=1)
    _, _, constants = windows[np.array([8, 0, 4])]
    np.testing.assert_array_equal(pixel(constants), [-2, 0, -1])
    assert constants.array.shape == (3, *GRID, 1)


class Watched:
    """A series that keeps account of which states were read."""

    def __init__(self, series: Series):
        self.series, self.asked = series, list[tuple[int, list[int]]]()
        self.field_type, self.boundary, self.grid = series.field_type, series.boundary, series.grid
        self.trajectories, self.steps, self.constants = series.trajectories, series.steps, series.constants

    def read(self, trajectory: int, times: Times) -> Float32[np.ndarray, "time *grid features"]:
        self.asked.append((trajectory, np.arange(self.steps)[times].tolist()))
        return self.series.read(trajectory, times)


def test_only_the_states_of_the_chosen_windows_are_read() -> None:
    watched = Watched(numbered())
    windows = Windows(watched, past=2, future=1, interval=2)
    assert watched.asked == []
    windows[np.array([4, 0])]
    assert watched.asked == [(1, [1, 3, 5]), (0, [0, 2, 4])]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"past": 0}, "at least 1"), ({"past": 5, "future": 4}, "spans 9 time steps, but after 0 only 7 are left")],
    ids=["none", "too long"],
)
def test_a_series_without_a_window_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Windows(numbered(), **settings)  # type: ignore[arg-type]


def test_a_window_that_is_not_there_is_an_error() -> None:
    windows = Windows(numbered())
    with pytest.raises(IndexError):
        windows[np.array([len(windows)])]
