"""What the domain decides about a rollout before it is computed, and says of it afterwards."""

from typing import Any

import numpy as np
import pytest

from equifield_service.domain.errors import InflatedTooLarge, InvalidQuery, NotAutoregressive
from equifield_service.domain.rollouts import (
    Steps,
    check_autoregressive,
    check_room,
    followed,
    progress,
    steps_of,
)
from equifield_service.payload import Progress
from tests.service import packages


@pytest.mark.parametrize(
    ("steps", "every", "wanted", "frames"), [(None, None, None, 0), (5, None, Steps(5, 1), 5), (12, 4, Steps(12, 4), 3)]
)
def test_a_rollout_is_as_long_as_the_request_says(
    steps: int | None, every: int | None, wanted: Steps | None, frames: int
) -> None:
    found = steps_of(steps, every, most=12)
    assert found == wanted
    assert found is None or found.frames == frames


@pytest.mark.parametrize(
    ("steps", "every", "message"),
    [
        (None, 2, "`steps` is not given"),
        (101, None, "at most 100"),
        (10, 4, "The nearest: 8 or 12"),
        (99, 40, "The nearest: 80."),
        (3, 4, "The nearest: 4."),
        (3, 400, "Take an `every` of at most 3"),
    ],
)
def test_a_rollout_that_cannot_be_given_is_refused_with_the_nearest(
    steps: int | None, every: int | None, message: str
) -> None:
    with pytest.raises(InvalidQuery, match=message):
        steps_of(steps, every, most=100)


def test_a_model_is_applied_again_to_fields_of_the_same_meaning_however_they_are_normalised() -> None:
    manifest = packages.manifest()
    scaled = tuple(field.model_copy(update={"scale": 7.0, "long_name": "other"}) for field in manifest.outputs)
    check_autoregressive(manifest.model_copy(update={"outputs": scaled}))
    check_autoregressive(manifest.model_copy(update={"outputs": manifest.outputs[::-1]}))  # packed alike


@pytest.mark.parametrize("change", [{"name": "other"}, {"units": "km h-1"}, {"parity": 1}, {"components": ()}])
def test_other_outputs_than_inputs_have_no_rollout(change: dict[str, Any]) -> None:
    manifest = packages.manifest()
    outputs = (manifest.outputs[0].model_copy(update=change), *manifest.outputs[1:])
    with pytest.raises(NotAutoregressive, match=r"takes velocity \(u, v; m s-1\), tracer \(c; 1\) and gives"):
        check_autoregressive(manifest.model_copy(update={"outputs": outputs}))
    with pytest.raises(NotAutoregressive):
        check_autoregressive(manifest.model_copy(update={"outputs": manifest.outputs[:1]}))


def test_what_a_model_takes_besides_its_states_must_be_constant() -> None:
    manifest = packages.grounded()
    check_autoregressive(manifest)
    moving = packages.GROUND.model_copy(update={"constant": False})
    with pytest.raises(NotAutoregressive, match=r"takes ground \(z; m\), velocity .* for those that .* are constant"):
        check_autoregressive(manifest.model_copy(update={"inputs": (moving, *manifest.inputs[1:])}))
    with pytest.raises(NotAutoregressive, match=r"takes ground \(z; m; constant\), velocity"):
        check_autoregressive(manifest.model_copy(update={"outputs": manifest.outputs[:1]}))


def test_states_take_the_place_of_the_last_ones_and_constant_fields_stay() -> None:
    samples, states = np.arange(4, dtype=np.float32), -np.arange(3, dtype=np.float32)
    following = followed(packages.grounded(), samples.reshape(1, 1, 1, 4), states.reshape(1, 1, 1, 3))
    assert following.ravel().tolist() == [0, 1, -1, -2]  # tracer, ground, velocity
    assert samples.tolist() == [0, 1, 2, 3]


def test_states_must_fit_into_one_answer() -> None:
    check_room((2, 8, 8, 3), Steps(10), itemsize=4, most=2 * 192 * 4 * 10)
    with pytest.raises(InflatedTooLarge, match="room for 9.*`every`"):
        check_room((2, 8, 8, 3), Steps(10), itemsize=4, most=2 * 192 * 4 * 10 - 1)


def test_the_shortest_trajectory_says_how_far_it_came() -> None:
    states = np.ones((2, 5, 4, 4, 1), np.float32)
    assert progress(states, Steps(10, 2)) == Progress(10, 2, 10)
    states[1, 3:] = np.nan
    assert progress(states, Steps(10, 2)) == Progress(10, 2, 6)
