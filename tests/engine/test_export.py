"""An exported program computes what its model computes, and nothing else."""

import json
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.inference import (
    ExportedModel,
    compile_model,
    compile_rollout,
    export_program,
    fold,
    in_precision,
    load_program,
)
from equifield.models import UNet
from equifield.multi_image import random_image
from equifield.nn import Conv
from equifield.rollout import rollout

Keys = Callable[[], PRNGKeyArray]
B2 = group_named("B2")
FIELDS = FieldType.parse("2x scalar + 1x vector")
WIND = FieldType.parse("1x vector")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
WALL: tuple[Boundary, ...] = ("periodic", "mirror")
GRID = (4, 8)


@pytest.fixture(scope="module")
def network() -> UNet:
    return fold(UNet(B2, FIELDS, WIND, hidden=FIELDS, num_downsamples=1, num_convs=1, key=jax.random.key(0)))


@pytest.fixture(scope="module")
def data(network: UNet) -> bytes:
    return export_program(network, FIELDS, grid=GRID, boundary=WALL)


@pytest.fixture(scope="module")
def program(data: bytes) -> ExportedModel:
    return load_program(data)


def fields(batch: tuple[int, ...], grid: tuple[int, ...] = GRID, boundary: tuple[Boundary, ...] = WALL) -> MultiImage:
    return random_image(FIELDS, boundary, grid, batch=batch, key=jax.random.key(1))


def test_a_program_takes_any_samples_and_is_the_model(network: UNet, program: ExportedModel) -> None:
    six = fields((6,))
    expected = np.asarray(eqx.filter_jit(network)(six).array)
    for batch, samples in (((2, 3), slice(6)), ((1,), slice(1)), ((), 0)):
        given = program(six.with_array(six.array[samples].reshape(*batch, *six.array.shape[1:])))
        assert (given.field_type, given.boundary, given.batch) == (WIND, WALL, batch)
        np.testing.assert_allclose(
            np.asarray(given.array).reshape(expected[samples].shape), expected[samples], atol=1e-5
        )
    assert not np.allclose(program(2.0 * six).array, expected), "control: another image, another answer"


def test_a_program_is_compiled_as_a_model_is(network: UNet, program: ExportedModel) -> None:
    compiled = compile_model(program, FIELDS, grids=[GRID], batches=[2], boundary=WALL)
    array = np.asarray(fields((3,)).array)
    np.testing.assert_allclose(compiled(array), eqx.filter_jit(network)(fields((3,))).array, atol=1e-5)


def test_a_program_has_the_precision_of_its_export(network: UNet, program: ExportedModel) -> None:
    rough = load_program(export_program(network, FIELDS, grid=GRID, boundary=WALL, precision="bfloat16"))
    expected = jax.jit(in_precision(lambda image: network(image), "bfloat16"))(fields((2,))).array
    np.testing.assert_allclose(rough(fields((2,))).array, expected, atol=1e-5)
    assert not np.allclose(program(fields((2,))).array, expected, atol=1e-4), "control"
    with pytest.raises(ValueError, match="export it in bfloat16"):
        compile_model(program, FIELDS, grids=[GRID], batches=[2], boundary=WALL, precision="bfloat16")


def test_one_file_is_one_program(data: bytes, network: UNet) -> None:
    assert load_program(data) == load_program(bytes(data)) and hash(load_program(data)) == hash(load_program(data))
    assert load_program(export_program(network, FIELDS, grid=(4, 4), boundary=WALL)) != load_program(data)
    assert set(load_program(data).exported.platforms) == {"cpu", "cuda"}


OTHERS = {
    "grid": lambda: fields((2,), (8, 4)),
    "boundary": lambda: fields((2,), GRID, TORUS),
    "fields": lambda: random_image(WIND, WALL, GRID, key=jax.random.key(0)),
    "precision": lambda: fields((2,)).with_array(fields((2,)).array.astype(jnp.bfloat16)),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_program_refuses_what_it_was_not_exported_for(program: ExportedModel, other: str) -> None:
    with pytest.raises(ValueError, match=r"exported for 2x scalar \+ 1x vector on 4x8 pixels with periodic, mirror"):
        program(OTHERS[other]())


def test_a_grid_that_the_model_refuses_is_not_exported(network: UNet) -> None:
    with pytest.raises(ValueError, match="5"):
        export_program(network, FIELDS, grid=(4, 5), boundary=WALL)


def header(data: bytes, **changes: object) -> bytes:
    first, _, rest = data.partition(b"\n")
    return json.dumps({**json.loads(first), **changes}).encode() + b"\n" + rest


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "text": lambda data: b"a program",
    "header-alone": lambda data: data.partition(b"\n")[0],
    "list": lambda data: b"[]\n" + data.partition(b"\n")[2],
    "fields": lambda data: header(data, in_type="3x spinor"),
    "boundary": lambda data: header(data, boundary=["wet", "dry"]),
    "another-grid": lambda data: header(data, grid=[32, 32]),
    "cut-short": lambda data: data[: len(data) // 2],
    "zeros": lambda data: data[:-5000] + bytes(5000),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_no_program_is_refused(data: bytes, damage: str) -> None:
    with pytest.raises(ValueError, match="no exported program"):
        load_program(DAMAGED[damage](data))


def test_a_program_that_calls_native_code_is_neither_written_nor_read(data: bytes) -> None:
    def rotated(image: MultiImage) -> MultiImage:
        """The singular values of a matrix at each pixel, which LAPACK computes."""
        square = image.array.reshape(*image.array.shape[:-1], 2, 2)
        return image.with_array(image.array + jnp.linalg.svd(square, compute_uv=False).sum())

    with pytest.raises(ValueError, match="calls native code"):
        export_program(rotated, FIELDS, grid=GRID, boundary=WALL)
    shape = jax.ShapeDtypeStruct((2, *GRID, 4), "float32")  # type: ignore[no-untyped-call]
    exported = jax.export.export(jax.jit(lambda array: rotated(MultiImage(array, FIELDS, WALL)).array))(shape)
    with pytest.raises(ValueError, match="calls native code"):
        load_program(data.partition(b"\n")[0] + b"\n" + bytes(exported.serialize()))


def test_a_program_is_rolled_out_as_a_model_is(getkey: Keys) -> None:
    layer = Conv(B2, FIELDS, FIELDS, key=getkey())
    given = load_program(export_program(layer, FIELDS, grid=GRID, boundary=TORUS))
    step = compile_rollout(given, FIELDS, grid=GRID, batch=2, boundary=TORUS, past=1, chunk=3)
    history = random_image(FIELDS, TORUS, GRID, batch=(1, 2), key=getkey())
    expected = rollout(layer, history, steps=3).states.array
    np.testing.assert_allclose(step(np.asarray(history.array)).states.array, expected, atol=1e-4)


def test_a_convolution_of_any_stride_is_exported(getkey: Keys) -> None:
    layer = Conv(B2, FIELDS, WIND, kernel_size=2, stride=2, key=getkey())
    image = fields((3,), GRID, TORUS)
    given = load_program(export_program(layer, FIELDS, grid=GRID, boundary=TORUS))(image)
    np.testing.assert_allclose(given.array, eqx.filter_jit(layer)(image).array, atol=1e-5)
    assert given.grid == (2, 4)
