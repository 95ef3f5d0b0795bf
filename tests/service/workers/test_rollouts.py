"""Rollouts in a worker: the engine's own, piece by piece, with real weights and real compilation."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equifield import MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.ops import act
from equifield.package import field_type_of, load_package
from equifield.rollout import rollout
from equifield_service.domain.errors import DeadlineExceeded
from equifield_service.scheduling import Array, Precision
from equifield_service.workers.loaded import Case, LoadedModel
from equifield_service.workers.rollouts import Course
from tests.service import packages

PERIODIC: tuple[Boundary, ...] = ("periodic", "periodic")
FIELDS = field_type_of(packages.manifest().inputs)

Roll = Callable[..., Array]


@pytest.fixture(scope="module")
def model(published: Path) -> LoadedModel:
    return LoadedModel(published / "tiny" / "1", max_batch=2, max_grids=8)


def samples(count: int) -> Array:
    return np.random.default_rng(count).standard_normal((count, 8, 8, 3)).astype(np.float32)


def rolled(model: LoadedModel, array: Array, steps: int, every: int = 1, seconds: float = 60.0) -> Array:
    course = Course(steps, every, seconds)
    case = Case((8, 8), PERIODIC, piece=course.piece)
    model.prepare(case, len(array))
    roll = model.rollout(array, case, course)
    assert roll is not None
    return roll()


def image(array: Array) -> MultiImage:
    return MultiImage(jnp.asarray(array), FIELDS, PERIODIC)


@pytest.mark.parametrize(("every", "piece"), [(1, 1), (7, 1), (6, 6), (48, 6), (20, 10), (60, 10)])
def test_a_piece_divides_what_is_thinned_by(every: int, piece: int) -> None:
    assert Course(every, every, 1.0).piece == piece


def test_it_is_the_engines_rollout_of_the_package(model: LoadedModel, published: Path) -> None:
    array = samples(2)
    unfolded = load_package(published / "tiny" / "1").model
    expected = np.asarray(rollout(unfolded, image(array[np.newaxis]), steps=12).states.array).swapaxes(0, 1)
    states = rolled(model, array, 12)
    assert states.shape == (2, 12, 8, 8, 3)
    for state, wanted in zip(states.swapaxes(0, 1), expected.swapaxes(0, 1), strict=True):
        assert np.linalg.norm(state - wanted) < 1e-4 * np.linalg.norm(wanted)


def test_thinning_leaves_out_states_and_changes_no_bit_of_the_others(model: LoadedModel) -> None:
    every_state = rolled(model, samples(2), 12)
    for every in (3, 6, 12):
        np.testing.assert_array_equal(rolled(model, samples(2), 12, every), every_state[:, every - 1 :: every])


def test_one_step_is_the_prediction_and_two_are_the_prediction_of_it(model: LoadedModel) -> None:
    once = model.predict(samples(2), PERIODIC)
    np.testing.assert_allclose(rolled(model, samples(2), 1)[:, 0], once, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rolled(model, samples(2), 2)[:, 1], model.predict(once, PERIODIC), rtol=1e-4, atol=1e-4)


def test_samples_together_give_what_each_gives_alone(model: LoadedModel) -> None:
    array = np.concatenate([samples(2), samples(1)])  # more than a batch holds
    alone = np.concatenate([rolled(model, array[n : n + 1], 4) for n in range(3)])
    np.testing.assert_allclose(rolled(model, array, 4), alone, rtol=1e-4, atol=1e-3)


def test_it_turns_when_its_start_is_turned(model: LoadedModel) -> None:
    def turned(array: Array) -> Array:
        return np.asarray(act(group_named("C4").elements[1], image(array)).array)

    array = samples(2)
    states, of_turned = rolled(model, array, 6, 3), rolled(model, turned(array), 6, 3)
    for frame in range(2):
        scale = np.linalg.norm(states[:, frame])
        assert np.linalg.norm(of_turned[:, frame] - turned(states[:, frame])) < 1e-4 * scale
    assert np.linalg.norm(of_turned - states) > 1e-2 * scale, "control: the states do change"


def test_a_trajectory_that_is_not_finite_any_more_stays_nan_and_the_others_go_on(model: LoadedModel) -> None:
    array = samples(2)
    array[0] *= 1e37
    states = rolled(model, array, 6)
    finite = np.isfinite(states).all(axis=(2, 3, 4))
    assert 0 < finite[0].sum() < 6 and finite[1].all()
    assert (np.diff(finite[0].astype(int)) <= 0).all()
    assert np.isnan(states[0][~finite[0]]).all()


def test_it_ends_when_its_time_is_over(model: LoadedModel) -> None:
    with pytest.raises(DeadlineExceeded, match="after 0 of 12 steps"):
        rolled(model, samples(2), 12, seconds=0.0)


def test_nothing_is_compiled_where_rollouts_run(published: Path) -> None:
    model = LoadedModel(published / "tiny" / "1", max_batch=1, max_grids=1)
    assert model.rollout(samples(1), Case((8, 8), PERIODIC, piece=1), Course(3, 1, 60.0)) is None


@pytest.mark.parametrize(("precision", "symmetrize"), [("bfloat16", True)])
def test_precision_and_averaging_are_those_of_predictions(
    model: LoadedModel, precision: Precision, symmetrize: bool
) -> None:
    states = []
    for piece in (None, 1):
        case = Case((8, 8), PERIODIC, precision, symmetrize, piece)
        model.prepare(case, 1)
        begun = model.start(samples(1), case) if piece is None else model.rollout(samples(1), case, Course(1, 1, 60.0))
        assert begun is not None
        states.append(begun().reshape(8, 8, 3))
    np.testing.assert_allclose(*states, rtol=1e-5, atol=1e-5)
    assert not np.allclose(states[0], model.predict(samples(1), PERIODIC)[0], rtol=1e-5, atol=1e-5), "control"


def test_programs_of_rollouts_are_counted_and_forgotten_as_others(published: Path) -> None:
    model = LoadedModel(published / "tiny" / "1", max_batch=1, max_grids=1)
    rolled(model, samples(1), 2)
    assert model.programs == 1 and model.device_bytes > 0
    jax.block_until_ready(model.predict(samples(1), PERIODIC))
    assert model.programs == 1
    assert model.rollout(samples(1), Case((8, 8), PERIODIC, piece=1), Course(2, 1, 60.0)) is None
