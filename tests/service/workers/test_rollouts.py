"""Rollouts in a worker: the engine's own, piece by piece, with real weights and real compilation."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.ops import act
from equifield.package import field_type_of, load_package
from equifield.rollout import rollout
from equifield_service.domain.errors import DeadlineExceeded
from equifield_service.scheduling import Array
from equifield_service.workers.loaded import Case, LoadedModel
from equifield_service.workers.rollouts import Course
from tests.service import packages

PERIODIC: tuple[Boundary, ...] = ("periodic", "periodic")
FIELDS = field_type_of(packages.manifest().inputs)


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


def test_samples_together_give_what_each_gives_alone(model: LoadedModel) -> None:
    array = np.concatenate([samples(2), samples(1)])  # more than a batch holds, and the rest fewer
    together = rolled(model, array, 4)
    alone = np.concatenate([rolled(model, array[n : n + 1], 4) for n in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-3)


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
    finite = np.asarray(np.isfinite(states).all(axis=(2, 3, 4)))
    assert 0 < finite[0].sum() < 6 and finite[1].all()
    assert (np.diff(finite[0].astype(int)) <= 0).all()
    assert np.isnan(states[0][~finite[0]]).all()


def test_it_ends_when_its_time_is_over(model: LoadedModel) -> None:
    with pytest.raises(DeadlineExceeded, match="after 0 of 12 steps"):
        rolled(model, samples(2), 12, seconds=0.0)


def test_precision_and_averaging_are_those_that_were_asked_for(model: LoadedModel) -> None:
    case = Case((8, 8), PERIODIC, "bfloat16", symmetrize=True, piece=1)
    model.prepare(case, 1)
    roll = model.rollout(samples(1), case, Course(1, 1, 60.0))
    assert roll is not None
    exact, short = rolled(model, samples(1), 1), roll()
    assert 1e-4 < np.linalg.norm(short - exact) / np.linalg.norm(exact) < 2e-2


def test_rollouts_of_any_length_share_their_programs_and_nothing_is_compiled_where_they_run(model: LoadedModel) -> None:
    rolled(model, samples(2), 6, 6)
    programs = model.programs
    for steps, every in ((6, 6), (24, 12), (96, 48)):
        rolled(model, samples(2), steps, every)
    assert model.programs == programs > 0 and model.device_bytes > 0
    assert model.rollout(samples(2), Case((8, 10), PERIODIC, piece=6), Course(6, 6, 60.0)) is None


@pytest.fixture(scope="module")
def over_ground(grounded: Path) -> LoadedModel:
    return LoadedModel(grounded / "grounded" / "1", max_batch=2, max_grids=8)


def height(count: int, seed: int) -> Array:
    """Heights of the ground: the constant field."""
    return (200 + 100 * np.random.default_rng(seed).standard_normal((count, 8, 8, 1))).astype(np.float32)


def over(states: Array, ground: Array) -> Array:
    """What the model takes: its scalars are the tracer, then the ground, before the velocity."""
    return np.concatenate([states[..., :1], ground, states[..., 1:]], axis=-1)


def test_constant_fields_stay_as_the_engine_keeps_them(over_ground: LoadedModel, grounded: Path) -> None:
    start, ground = samples(3), height(3, seed=1)  # more than a batch holds
    given = rolled(over_ground, over(start, ground), 12, 3)
    assert given.shape == (3, 4, 8, 8, 3), "the answer has no constant fields"
    unfolded, fixed = load_package(grounded / "grounded" / "1").model, field_type_of([packages.GROUND])
    constants = MultiImage(jnp.asarray(ground), fixed, PERIODIC)
    wanted = np.asarray(rollout(unfolded, image(start[np.newaxis]), steps=12, constants=constants).states.array)
    for state, expected in zip(given.swapaxes(0, 1), wanted[2::3], strict=True):
        assert np.linalg.norm(state - expected) < 1e-4 * np.linalg.norm(expected)
    other = rolled(over_ground, over(start, height(3, seed=2)), 12, 3)
    assert np.linalg.norm(other - given) > 1e-2 * np.linalg.norm(given), "control: the ground does matter"


def test_a_rollout_over_turned_ground_is_turned(over_ground: LoadedModel) -> None:
    def turned(array: Array, fields: FieldType) -> Array:
        return np.asarray(act(group_named("C4").elements[1], MultiImage(jnp.asarray(array), fields, PERIODIC)).array)

    array = over(samples(1), height(1, seed=3))
    states = rolled(over_ground, array, 3)
    whole = rolled(over_ground, turned(array, field_type_of(packages.grounded().inputs)), 3)
    ahead = rolled(over_ground, over(turned(samples(1), FIELDS), height(1, seed=3)), 3)
    wanted = turned(states[:, 2], FIELDS)
    assert np.linalg.norm(whole[:, 2] - wanted) < 1e-4 * np.linalg.norm(wanted)
    assert np.linalg.norm(ahead[:, 2] - wanted) > 1e-2 * np.linalg.norm(wanted), "control: the ground must turn as well"
