"""The numbers that tell from afar how a rollout goes."""

import numpy as np
import pytest

from equifield_service.domain.jobs.diagnostics import MOST, Diagnostics, spectrum_slope
from equifield_service.domain.rollouts import Steps
from tests.service import packages


def waves(slope: float, sides: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A field with a wave of each whole number along its first axis, whose energies follow a power law."""
    side, values = min(sides), np.zeros((1, *sides, 1))
    x = np.arange(sides[0]).reshape(-1, *[1] * (len(sides) - 1))
    for wave in range(1, side // 2):
        values[0, ..., 0] += wave ** (slope / 2) * np.cos(2 * np.pi * wave * x / sides[0])
    return values


@pytest.mark.parametrize("sides", [(32, 32), (16, 32), (8, 8, 8)])
@pytest.mark.parametrize("slope", [-3.0, -5 / 3])
def test_the_slope_of_a_power_law_is_found(sides: tuple[int, ...], slope: float) -> None:
    assert spectrum_slope(waves(slope, sides)) == pytest.approx(slope, abs=1e-6)


def test_a_field_without_waves_or_with_one_has_no_slope() -> None:
    assert spectrum_slope(np.ones((1, 8, 8, 1))) is None
    one = np.cos(2 * np.pi * np.arange(8) / 8).reshape(1, 8, 1, 1) * np.ones((1, 8, 8, 1))
    assert spectrum_slope(one) is None


@pytest.mark.parametrize("frames", [1, 7, MOST, MOST + 1, 5 * MOST])
@pytest.mark.parametrize("part", [1, 3, 1000])
def test_states_are_measured_evenly_whatever_the_parts(frames: int, part: int) -> None:
    manifest, rollout = packages.manifest(), Steps(2 * frames, 2)
    states = np.arange(1, frames + 1, dtype=np.float32).reshape(1, -1, 1, 1, 1) * np.ones((1, 1, 4, 4, 3), np.float32)
    found = Diagnostics()
    for first in range(0, frames, part):
        found = found.followed_by(manifest, rollout, 2 * first, states[:, first : first + part])
    assert len(found.steps) <= MOST + 1 and found.steps[-1] == 2 * frames
    assert set(np.diff(found.steps[:-1])) <= {2 * -(-frames // MOST)}
    tracer, values = found.fields["tracer"], [step / 2 for step in found.steps]
    assert tracer["maximum"] == tracer["minimum"] == values
    assert tracer["mean_square"] == pytest.approx(np.square(values))
    assert found.fields["velocity"]["mean_square"] == pytest.approx(2 * np.square(values))
