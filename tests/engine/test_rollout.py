"""A rollout is the Python loop over the model, compiled once, and says where each trajectory ended."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import Array, PRNGKeyArray

from equifield import FieldType, MultiImage, Representation
from equifield.groups import hyperoctahedral
from equifield.models import ResNet
from equifield.multi_image import Boundary, random_image
from equifield.ops import split
from equifield.representations import scalar, vector
from equifield.rollout import RESULTS, Model, model_input, next_states, rollout, rollout_chunks

from .laws import assert_commutes

Keys = Callable[[], PRNGKeyArray]
STATE = FieldType.parse("2x scalar + vector")
FIXED = FieldType.parse("scalar + pseudoscalar")
ONE = FieldType.parse("scalar")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")


class Mixing(eqx.Module):
    """A linear model, pixel by pixel, that tells every feature from every other."""

    matrix: Array
    out_type: FieldType = eqx.field(static=True)

    def __call__(self, image: MultiImage) -> MultiImage:
        return MultiImage(image.array @ self.matrix, self.out_type, image.boundary)


def mixing(past: int, future: int, with_constants: bool, key: PRNGKeyArray, dtype: str = "float32") -> Mixing:
    """A model that stays bounded over a few steps."""
    inputs = past * STATE.size(2) + (FIXED.size(2) if with_constants else 0)
    matrix = jr.normal(key, (inputs, future * STATE.size(2)), dtype) / inputs**0.5
    return Mixing(matrix, STATE.scaled(future))


def by_hand(
    model: Model, history: MultiImage, steps: int, constants: MultiImage | None, residual: bool
) -> dict[Representation, np.ndarray]:
    """The definition: one call after another, with the channels of the input listed one by one in numpy."""
    past, axis = history.batch[0], len(history.batch) - 1 + history.ndim
    states = {r: list(np.asarray(history[r])) for r in STATE.representations}
    while len(states[vector]) < past + steps:
        listed = {
            r: [states[r][t].take([c], axis) for c in range(STATE.channels(r)) for t in range(-past, 0)] for r in states
        }
        for r, fields in constants.items() if constants else ():
            listed.setdefault(r, []).append(np.broadcast_to(fields, (*history.batch[1:], *fields.shape)))
        inputs = {r: jnp.concatenate(fields, axis) for r, fields in listed.items()}
        output = model(MultiImage.from_fields(inputs, history.boundary))
        future = output.field_type.channels(vector)
        for r, known in states.items():
            for f in range(future):
                made = np.asarray(output[r]).take(range(f, future * STATE.channels(r), future), axis)
                known.append(known[-1] + made if residual else made)
    return {r: np.stack(known[past : past + steps]) for r, known in states.items()}


@pytest.mark.parametrize(
    ("past", "future", "with_constants", "residual", "dtype"),
    [
        (1, 1, False, False, "float32"),
        (2, 1, True, True, "float64"),
        (3, 2, True, False, "float32"),
        (1, 3, False, True, "float64"),
    ],
    ids=["markov", "two-past-constants-residual", "three-past-two-future-constants", "three-future-residual"],
)
def test_a_rollout_is_the_loop_over_the_model(
    past: int, future: int, with_constants: bool, residual: bool, dtype: str, getkey: Keys
) -> None:
    with jax.enable_x64(dtype == "float64"):
        check_against_the_loop(past, future, with_constants, residual, dtype, getkey)


def check_against_the_loop(
    past: int, future: int, with_constants: bool, residual: bool, dtype: str, getkey: Keys
) -> None:
    history = random_image(STATE, TORUS, (4, 4), batch=(past, 2), dtype=jnp.dtype(dtype), key=getkey())
    constants = random_image(FIXED, TORUS, (4, 4), dtype=jnp.dtype(dtype), key=getkey()) if with_constants else None
    model = mixing(past, future, with_constants, getkey(), dtype)
    given = rollout(model, history, steps=5, constants=constants, residual=residual)
    for representation, expected in by_hand(model, history, 5, constants, residual).items():
        tolerance = np.abs(expected).max() * (1e-6 if dtype == "float32" else 1e-14)
        np.testing.assert_allclose(given.states[representation], expected, rtol=0, atol=tolerance)
    assert given.states.array.dtype == dtype
    assert np.array_equal(given.history.array, np.concatenate((history.array, given.states.array))[-past:])
    assert given.steps_completed.tolist() == [5, 5] and (given.result == RESULTS.completed).tolist() == [True, True]


def test_constants_have_the_batch_of_the_states_or_its_last_axes(getkey: Keys) -> None:
    history = random_image(STATE, TORUS, (3, 3), batch=(2, 4, 5), key=getkey())
    for batch in ((), (5,), (4, 5)):
        constants = random_image(FIXED, TORUS, (3, 3), batch=batch, key=getkey())
        packed = model_input(history, constants)
        assert packed.field_type == STATE.scaled(2) + FIXED
        assert (packed[scalar][..., -1] == constants[scalar][..., 0]).all()
    with pytest.raises(ValueError, match=r"the batch axes of the states, \(4, 5\), .* not \(4,\)"):
        model_input(history, random_image(FIXED, TORUS, (3, 3), batch=(4,), key=getkey()))


def test_the_input_of_past_steps_is_the_target_of_future_steps(getkey: Keys) -> None:
    future = random_image(STATE, TORUS, (3, 3), batch=(3, 2), key=getkey())
    given = next_states(lambda image: model_input(future), future.with_array(future.array[:1]))
    assert (given.array == future.array).all()


def test_chunks_are_the_whole_bit_by_bit(getkey: Keys) -> None:
    history = random_image(STATE, TORUS, (4, 4), batch=(2, 3), key=getkey())
    constants = random_image(FIXED, TORUS, (4, 4), key=getkey())
    model = mixing(2, 1, True, getkey())
    whole = rollout(model, history, steps=7, constants=constants)
    for chunk in (1, 3):
        pieces = list(rollout_chunks(model, history, steps=7, chunk=chunk, constants=constants))
        assert [len(piece.states.array) for piece in pieces] == [1] * 7 if chunk == 1 else [3, 3, 1]
        assert np.array_equal(np.concatenate([piece.states.array for piece in pieces]), whole.states.array)
        assert np.array_equal(pieces[-1].history.array, whole.history.array)


def test_chunks_compile_once_for_any_number_of_steps(getkey: Keys) -> None:
    traces = []

    def decay(image: MultiImage) -> MultiImage:
        traces.append(image)
        return 0.5 * image

    history = random_image(ONE, TORUS, (2, 2), batch=(1,), key=getkey())
    first, *_ = rollout_chunks(decay, history, steps=2, chunk=2)
    once = len(traces)
    assert sum(len(piece.states.array) for piece in rollout_chunks(decay, history, steps=101, chunk=2)) == 101
    assert len(traces) == once
    rollout(decay, history, steps=3)
    assert len(traces) > once, "control: a rollout of another length is another program"


@pytest.mark.parametrize("checkpoint", [True, False], ids=["checkpoint", "keep"])
def test_gradients_are_those_of_the_unrolled_loop(checkpoint: bool, getkey: Keys) -> None:
    history = random_image(STATE, TORUS, (4, 4), batch=(2,), key=getkey())
    weights = random_image(STATE, TORUS, (4, 4), batch=(4,), key=getkey()).array

    def scanned(model: Mixing) -> Array:
        return jnp.sum(weights * jnp.tanh(rollout(model, history, steps=4, checkpoint=checkpoint).states.array))

    def unrolled(model: Mixing) -> Array:
        past, states = history, []
        for _ in range(4):
            states.append(model(model_input(past)).array)
            past = past.with_array(jnp.stack((past.array[-1], states[-1])))
        return jnp.sum(weights * jnp.tanh(jnp.stack(states)))

    model = mixing(2, 1, False, getkey())
    given, expected = (jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(f))(model)) for f in (scanned, unrolled))
    for one, other in zip(given, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * float(jnp.abs(other).max()))


def test_a_checkpointed_gradient_keeps_the_states_alone(getkey: Keys) -> None:
    history = random_image(ONE, TORUS, (32, 32), batch=(1,), key=getkey())

    def deep(image: MultiImage) -> MultiImage:
        array = image.array
        for _ in range(20):
            array = jnp.sin(array) * jnp.cos(array)
        return image.with_array(array)

    def memory(checkpoint: bool) -> float:
        def loss(array: Array) -> Array:
            states = rollout(deep, history.with_array(array), steps=50, checkpoint=checkpoint).states.array
            return jnp.sum(states)

        analysis = jax.jit(jax.grad(loss)).lower(history.array).compile().memory_analysis()
        assert analysis is not None
        return float(analysis.temp_size_in_bytes) / (50 * history.array.nbytes)

    assert memory(checkpoint=True) < 8
    assert memory(checkpoint=False) > 16


def square(image: MultiImage) -> MultiImage:
    """Overflows in float32 when 2^steps log2(x) passes 128."""
    return image.with_array(image.array**2)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_a_trajectory_that_diverges_ends_there_and_the_others_go_on(compiled: bool) -> None:
    begin = jnp.array([1.0, 2.0, 2.0**20, jnp.nan, 0.5, jnp.inf])
    array = jnp.ones((6, 3, 3, 1)).at[:, 1, 2, 0].set(begin)
    history = MultiImage(array[None], ONE, TORUS)
    run = lambda past: rollout(square, past, steps=9)  # noqa: E731
    given = (eqx.filter_jit(run) if compiled else run)(history)
    assert given.steps_completed.tolist() == [9, 6, 2, 0, 9, 0]
    assert (given.result == RESULTS.diverged).tolist() == [False, True, True, True, False, True]
    assert "non-finite" in repr(given.result)
    states = np.asarray(given.states.array)
    for trajectory, completed in enumerate(given.steps_completed.tolist()):
        assert np.isfinite(states[:completed, trajectory]).all() and np.isnan(states[completed:, trajectory]).all()
        alone = rollout(square, MultiImage(jnp.asarray(np.asarray(array)[None, trajectory]), ONE, TORUS), steps=9)
        assert np.array_equal(alone.states.array, states[:, trajectory], equal_nan=True)
    on = rollout(square, given.history, steps=1)
    assert on.steps_completed.tolist() == [1, 0, 0, 0, 1, 0]


def test_a_model_that_hides_infinity_does_not_bring_a_trajectory_back() -> None:
    history = MultiImage(jnp.full((2, 2, 2, 1), 3.0), ONE, TORUS)

    def blink(image: MultiImage) -> MultiImage:
        """0, then 1/0, then finite again, whatever comes."""
        last = image.array[..., 1:]
        finite = jnp.nan_to_num(jnp.arctan(last)) * (last != 3.0)
        return MultiImage(jnp.where(last == 0.0, jnp.inf, finite), ONE, TORUS)

    loop = history.array
    for _ in range(5):
        made = blink(model_input(MultiImage(loop[-2:], ONE, TORUS))).array
        loop = jnp.concatenate((loop, made[None]))
    assert np.isfinite(loop[-1]).all(), "control: the loop comes back"
    given = rollout(blink, history, steps=5)
    assert int(given.steps_completed) == 1 and np.isnan(given.states.array[1:]).all()


def test_divergence_within_a_call_of_several_steps_ends_the_trajectory_there() -> None:
    def count(image: MultiImage) -> MultiImage:
        """The next three numbers, but infinity instead of 5."""
        numbers = image.array + jnp.arange(1.0, 4.0)
        return MultiImage(jnp.where(numbers == 5.0, jnp.inf, numbers), ONE.scaled(3), TORUS)

    given = rollout(count, MultiImage(jnp.zeros((1, 2, 2, 1)), ONE, TORUS), steps=8)
    assert int(given.steps_completed) == 4 and given.states.batch == (8,)
    assert np.array_equal(given.states.array[:, 0, 0, 0], [1, 2, 3, 4, *[np.nan] * 4], equal_nan=True)


def test_a_rollout_commutes_with_every_element(getkey: Keys) -> None:
    group = hyperoctahedral(2)
    model = ResNet(group, STATE.scaled(2) + FIXED, STATE, hidden=STATE, num_blocks=1, key=getkey())
    image = random_image(STATE + FIXED, TORUS, (5, 5), batch=(2,), key=getkey())

    @eqx.filter_jit
    def rolled(model: Model, image: MultiImage) -> MultiImage:
        """The states of a rollout, behind the batch axes; the constants are those of the first past step."""
        history, constants = split(image.with_array(jnp.moveaxis(image.array, -4, 0)), STATE, FIXED)
        first = constants.with_array(constants.array[0])
        states = rollout(model, history, steps=4, constants=first).states
        return states.with_array(jnp.moveaxis(states.array, 0, -4))

    assert_commutes(lambda x: rolled(model, x), image, group, 1e-5)
    with pytest.raises(AssertionError, match="relative error"):
        assert_commutes(lambda x: rolled(mixing(2, 1, True, jr.key(0)), x), image, group, 1e-5)


def test_batch_axes_and_vmap_give_what_each_trajectory_gives_alone(getkey: Keys) -> None:
    history = random_image(STATE, TORUS, (4, 4), batch=(2, 2, 3), key=getkey())
    model = mixing(2, 1, False, getkey())
    batched = rollout(model, history, steps=3)
    mapped = eqx.filter_vmap(lambda past: rollout(model, past, steps=3), in_axes=1, out_axes=1)(history)
    alone = rollout(model, history.with_array(history.array[:, 1, 2]), steps=3)
    assert batched.steps_completed.shape == (2, 3)
    np.testing.assert_allclose(mapped.states.array, batched.states.array, atol=1e-5)
    np.testing.assert_allclose(alone.states.array, batched.states.array[:, 1, 2], atol=1e-5)


def test_half_precision_stays_half_precision(getkey: Keys) -> None:
    history = random_image(STATE, TORUS, (4, 4), batch=(2,), dtype=jnp.bfloat16, key=getkey())
    given = rollout(mixing(2, 1, False, getkey(), "bfloat16"), history, steps=2)
    assert given.states.array.dtype == jnp.bfloat16 and (given.result == RESULTS.completed).all()


ZEROS = MultiImage(jnp.zeros((1, 4, 4, 1)), ONE, TORUS)
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no-time-axis": (lambda: rollout(square, ZEROS.with_array(ZEROS.array[0]), steps=1), "a time axis of length 1"),
    "no-past": (lambda: rollout(square, ZEROS.with_array(ZEROS.array[:0]), steps=1), "at least one past state"),
    "no-steps": (lambda: rollout(square, ZEROS, steps=0), "at least one step, not 0"),
    "no-chunk": (lambda: next(rollout_chunks(square, ZEROS, steps=3, chunk=0)), "one per chunk, not 3 and 0"),
    "other-type": (
        lambda: rollout(lambda x: MultiImage(jnp.zeros((4, 4, 2)), FieldType.parse("vector"), TORUS), ZEROS, steps=1),
        "predicts states of 1x scalar gives 1x scalar, .* gives 1x vector",
    ),
    "other-grid": (
        lambda: rollout(lambda x: x.with_array(x.array[:2]), ZEROS, steps=1),
        r"keeps batch, grid, boundary and precision: it took states of \(4, 4\) .* gave \(2, 4\)",
    ),
    "other-precision": (
        lambda: rollout(lambda x: x.with_array(x.array.astype(jnp.float16)), ZEROS, steps=1),
        "took states of .* float32 and gave .* float16",
    ),
    "chunk-between-calls": (
        lambda: next(
            rollout_chunks(lambda x: MultiImage(jnp.zeros((4, 4, 2)), ONE.scaled(2), TORUS), ZEROS, steps=4, chunk=3)
        ),
        "fills chunks of a multiple of 2 steps, not 3. Use 4",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_rolled_out_is_refused_with_the_way_out(case: str) -> None:
    call, said = REFUSED[case]
    with pytest.raises(ValueError, match=said):
        call()
