"""An excerpt of a series is a series of its own."""

import numpy as np
import pytest

from equifield.train.data import Excerpt, Series, Windows
from tests.engine.train.numbered import numbered


def test_an_excerpt_counts_from_its_own_beginning() -> None:
    series = numbered()
    part = Excerpt(series, (1, 2), (2, 5))
    assert isinstance(part, Series)
    assert (part.trajectories, part.steps, part.grid) == (1, 3, series.grid)
    whole = series.read(1, slice(None))
    for times in (slice(None), slice(0, 3, 2), slice(None, None, -1), np.array([2, 0]), slice(1, None)):
        np.testing.assert_array_equal(part.read(0, times), whole[2:5][times])


def test_windows_do_not_reach_beyond_a_excerpt() -> None:
    part = Excerpt(numbered(), None, (2, 5))
    assert len(Windows(part)) == 2 * part.trajectories


@pytest.mark.parametrize("times", [(2, 2), (-1, 3), (0, 10_000)], ids=["empty", "before", "beyond"])
def test_an_excerpt_that_is_not_there_is_refused(times: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="times, but"):
        Excerpt(numbered(), None, times)
