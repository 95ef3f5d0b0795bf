"""A compiled model computes what the model computes, for any number of samples, and never traces again."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.inference import CompiledModel, compile_model, compile_rollout, fold
from equifield.multi_image import random_image
from equifield.nn import Conv
from equifield.rollout import RESULTS, rollout

B2 = group_named("B2")
FIELDS = FieldType.parse("1x scalar + 1x vector")
SCALAR = FieldType.parse("1x scalar")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
GRID = (4, 4)


def samples(count: int, grid: tuple[int, ...] = GRID) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, *grid, 3)).astype(np.float32)


def compiled(model: Any, **options: Any) -> CompiledModel:
    return compile_model(model, FIELDS, boundary=TORUS, **{"grids": [GRID], "batches": [1, 3], **options})


@pytest.fixture(scope="module")
def conv() -> Conv:
    return Conv(B2, FIELDS, FIELDS, key=jax.random.key(0))


def test_any_number_of_samples_has_the_answers_of_the_model(conv: Conv) -> None:
    grids = [GRID, (4, 6)]
    program = compiled(fold(conv), grids=grids, batches=(4, 2))
    assert set(program.programs) == {(grid, batch) for grid in grids for batch in (2, 4)}
    for grid in grids:
        array = samples(11, grid)
        expected = np.asarray(conv(MultiImage(jnp.asarray(array), FIELDS, TORUS)).array)
        for count in (1, 2, 3, 4, 5, 11):
            np.testing.assert_allclose(program(array[:count]), expected[:count], atol=1e-5)


def test_a_cpu_takes_a_few_samples_of_a_large_grid_at_a_time(conv: Conv) -> None:
    small, large = (4, 4), (64, 32)
    program = compile_model(conv, FIELDS, grids=[small, large], batches=[1, 3, 6], boundary=TORUS)
    assert sorted(program.programs) == [(small, 1), (small, 3), (small, 6), (large, 1), (large, 2)]
    images = random_image(FIELDS, TORUS, large, batch=(6,), key=jax.random.key(2))
    np.testing.assert_allclose(program(np.asarray(images.array)), conv(images).array, atol=1e-5)


def test_filling_up_a_batch_shows_the_model_no_number_that_was_not_given() -> None:
    def largest(image: MultiImage) -> MultiImage:
        """The samples see each other: the largest number of the batch."""
        return image.with_array(jnp.full_like(image.array, jnp.max(image.array)))

    array = -1 - abs(samples(5))
    given = compiled(largest)(array)
    np.testing.assert_array_equal(given[:3], np.max(array[:3]))
    np.testing.assert_array_equal(given[3:], np.max(array[3:]))


def test_after_compilation_nothing_is_traced() -> None:
    traces = []

    def double(image: MultiImage) -> MultiImage:
        traces.append(image)
        return 2.0 * image

    program = compiled(double)
    before = len(traces)
    np.testing.assert_array_equal(program(samples(7)), 2 * samples(7))
    assert len(traces) == before > 0
    lazy = CompiledModel(double, FIELDS, grids=[GRID], batches=[1, 3], boundary=TORUS)
    assert not lazy.programs
    before = len(traces)
    lazy(samples(3))
    assert len(traces) > before and set(lazy.programs) == {(GRID, 3)}, "control: a lazy one compiles what it needs"


def test_the_input_gives_its_memory_to_an_output_of_its_size_and_to_no_other(conv: Conv) -> None:
    wider = Conv(B2, FIELDS, FIELDS.scaled(2), key=jax.random.key(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        programs = [compiled(fold(model), batches=[3]).programs[GRID, 3] for model in (conv, wider)]
    shared = [getattr(program.memory_analysis(), "alias_size_in_bytes", None) for program in programs]
    assert shared == [samples(3).nbytes, 0]


def test_the_array_that_was_given_stays_what_it_is(conv: Conv) -> None:
    program = compiled(fold(conv))
    array, kept = samples(3), samples(3)
    on_device = jnp.asarray(kept)
    np.testing.assert_array_equal(program(array), program(np.asarray(on_device)))
    np.testing.assert_array_equal(array, kept)
    np.testing.assert_array_equal(on_device, kept)


def test_an_array_on_the_device_stays_too(conv: Conv) -> None:
    program: Any = compiled(conv)
    array = jnp.ones((3, *GRID, 3))
    np.testing.assert_array_equal(program(array), program(array))
    assert float(array.sum()) == array.size


def test_weights_are_arguments_of_the_programs(conv: Conv) -> None:
    program = compiled(fold(conv), batches=[1]).programs[GRID, 1]
    shapes = [leaf.shape for leaf in jax.tree.leaves(fold(conv))]
    assert [argument.shape for argument in jax.tree.leaves(program.args_info)] == [*shapes, (1, *GRID, 3)]


def strided() -> Conv:
    return Conv(B2, FIELDS, FIELDS, kernel_size=2, stride=2, key=jax.random.key(0))


REFUSED: dict[str, tuple[Callable[[Conv], object], str]] = {
    "grid": (lambda conv: compiled(conv)(samples(2, (4, 6))), r"on the grids \(4, 4\), not for \(2, 4, 6, 3\)"),
    "features": (lambda conv: compiled(conv)(samples(2)[..., :2]), r"\(batch, \*grid, 3\) .* not for \(2, 4, 4, 2\)"),
    "no-samples": (lambda conv: compiled(conv)(samples(0)), r"not for \(0, 4, 4, 3\)"),
    "precision-of-input": (lambda conv: compiled(conv)(samples(2).astype("float64")), "takes float32, not float64"),
    "no-grid": (lambda conv: compiled(conv, grids=[]), "at least one grid"),
    "no-batch": (lambda conv: compiled(conv, batches=[]), "one positive batch size"),
    "negative": (lambda conv: compiled(conv, batches=[0, 2]), "one positive batch size"),
    "model": (lambda conv: compiled(strided(), grids=[(4, 5)]), "Sides that work: 4 or 6"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_compiled_is_refused_with_what_is(case: str, conv: Conv) -> None:
    call, said = REFUSED[case]
    with pytest.raises(ValueError, match=said):
        call(conv)


def damped(image: MultiImage) -> MultiImage:
    """The next state of one past step, which keeps it finite."""
    return image.with_array(jnp.sin(3 * image.array + 1))


def test_chunks_of_a_compiled_rollout_are_the_rollout_bit_by_bit(conv: Conv) -> None:
    def model(image: MultiImage) -> MultiImage:
        """From two past steps of a scalar to the next one."""
        tripled = conv(MultiImage(jnp.tile(image.array, 2)[..., :3], FIELDS, TORUS))
        return MultiImage(jnp.sin(3 * tripled.array[..., :1] + 1), SCALAR, TORUS)

    start = random_image(SCALAR, TORUS, GRID, batch=(2, 3), key=jax.random.key(1))
    whole = rollout(model, start, steps=6)
    program = compile_rollout(model, SCALAR, grid=GRID, batch=3, boundary=TORUS, past=2, chunk=2)
    history: Any = np.asarray(start.array)
    pieces = []
    for _ in range(3):
        piece = program(history)
        pieces.append(np.asarray(piece.states.array))
        assert piece.steps_completed.tolist() == [2] * 3 and (piece.result == RESULTS.completed).all()
        history = piece.history.array
    np.testing.assert_array_equal(np.concatenate(pieces), whole.states.array)
    np.testing.assert_array_equal(history, whole.history.array)
    np.testing.assert_array_equal(program(np.asarray(start.array)).states.array, pieces[0])
    program(history)
    assert history.is_deleted(), "the memory of a history on the device holds the next one"


def test_constant_fields_go_into_every_step_of_every_chunk() -> None:
    def model(image: MultiImage) -> MultiImage:
        """The next scalar, of a scalar and a constant one."""
        state, fixed = image.array[..., :1], image.array[..., 1:]
        return MultiImage(jnp.sin(3 * state + fixed), SCALAR, TORUS)

    start, ground, other = (
        random_image(SCALAR, TORUS, (2, 2), batch=batch, key=jax.random.key(seed))
        for seed, batch in enumerate([(1, 3), (3,), (3,)])
    )
    program = compile_rollout(model, SCALAR, constants=SCALAR, grid=(2, 2), batch=3, boundary=TORUS, past=1, chunk=2)

    def states(fixed: Any) -> Any:
        first = program(np.asarray(start.array), fixed)
        return np.concatenate([first.states.array, program(first.history.array, fixed).states.array])

    np.testing.assert_array_equal(states(ground.array), rollout(model, start, steps=4, constants=ground).states.array)
    assert not ground.array.is_deleted(), "the constant fields go into the next chunk too"
    assert np.abs(states(other.array) - states(ground.array))[3].max() > 0.1, "control: the constant fields do matter"
    with pytest.raises(ValueError, match=r"constant fields .* of \(3, 2, 2, 1\) float32, not of none"):
        program(np.asarray(start.array))


def test_a_trajectory_that_diverged_in_one_chunk_stays_so_in_the_next() -> None:
    def square(image: MultiImage) -> MultiImage:
        return image.with_array(image.array**2)

    program = compile_rollout(square, SCALAR, grid=(2, 2), batch=2, boundary=TORUS, past=1, chunk=4)
    begin = np.ones((1, 2, 2, 2, 1), np.float32) * np.array([1, 2.0**20], np.float32).reshape(2, 1, 1, 1)
    first = program(begin)
    assert first.steps_completed.tolist() == [4, 2]
    assert (first.result == RESULTS.diverged).tolist() == [False, True]
    assert program(first.history.array).steps_completed.tolist() == [4, 0]


def test_a_rollout_may_give_some_of_its_states() -> None:
    begin = np.random.default_rng(0).standard_normal((1, 1, 2, 2, 1)).astype(np.float32)
    all_states, some = (
        compile_rollout(damped, SCALAR, grid=(2, 2), batch=1, boundary=TORUS, past=1, chunk=4, every=every)(begin)
        for every in (1, 2)
    )
    np.testing.assert_array_equal(some.states.array, all_states.states.array[1::2])
    np.testing.assert_array_equal(some.history.array, all_states.history.array)
    assert some.steps_completed.tolist() == [4]


def test_a_rollout_refuses_what_it_is_not_compiled_for() -> None:
    def compiled(model: Callable[[MultiImage], MultiImage], chunk: int) -> Any:
        return compile_rollout(model, SCALAR, grid=(2, 2), batch=1, boundary=TORUS, past=1, chunk=chunk)

    with pytest.raises(ValueError, match=r"of \(1, 1, 2, 2, 1\) float32, not of \(1, 3, 2, 2, 1\) float32"):
        compiled(damped, 1)(np.zeros((1, 3, 2, 2, 1), np.float32))
    with pytest.raises(ValueError, match="not of .* float64"):
        compiled(damped, 1)(np.zeros((1, 1, 2, 2, 1)))
    with pytest.raises(ValueError, match="a multiple of `every`, but 4 is none of 3"):
        compile_rollout(damped, SCALAR, grid=(2, 2), batch=1, boundary=TORUS, past=1, chunk=4, every=3)
    with pytest.raises(ValueError, match="one per chunk"):
        compiled(damped, 0)

    def two(image: MultiImage) -> MultiImage:
        return MultiImage(jnp.tile(image.array, 2), SCALAR.scaled(2), TORUS)

    with pytest.raises(ValueError, match="a multiple of 2 steps, not 3"):
        compiled(two, 3)


PROCESS = """
import json, sys
from pathlib import Path
import jax, numpy as np
from equifield import FieldType
from equifield.groups import group_named
from equifield.inference import CompiledModel, fold
from equifield.nn import Conv

fields = FieldType.parse("1x scalar + 1x vector")
model = fold(Conv(group_named("B2"), fields, fields, key=jax.random.key(0)))
program = CompiledModel(model, fields, grids=[(4, 4)], batches=[1, 2], boundary=("periodic", "periodic"))
kept = lambda: {path.name for path in Path(sys.argv[1]).glob("jit_run*") if "atime" not in path.name}
counts = [len(kept())]
for batch in (1, 2)[: int(sys.argv[2])]:
    program(np.ones((batch, 4, 4, 3), np.float32))
    counts.append(len(kept()))
print(json.dumps(counts))
"""


def test_a_second_process_finds_the_programs_of_the_first(tmp_path: Path) -> None:
    def run(batches: int) -> Any:
        settings = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        command = [sys.executable, "-c", PROCESS, str(tmp_path), str(batches)]
        done = subprocess.run(command, env=settings, capture_output=True, timeout=120, check=True)
        return json.loads(done.stdout)

    assert run(1) == [0, 1]
    assert run(2) == [1, 1, 2], "the first program is there; control: another batch size is another program"
