"""Programs that run without the Python code of their model."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array

from ..boundary import check_boundary
from ..field_type import FieldType
from ..multi_image import Boundary, MultiImage
from ._precision import Precision, in_precision

PLATFORMS = ("cpu", "cuda")
NATIVE_CALL = re.compile(r"custom_call(?! @shape_assertion\()")
"""A step that calls code outside of the program. The exception compares the shape of the input with the program's."""


@dataclass(frozen=True)
class ExportedModel:
    """A model as a program in StableHLO, weights inside, for one grid and boundary and any number of samples.

    Wherever images are taken to images it can stand for the model, in `compile_model` for example; but it knows
    one grid, is in the precision of its export, and gives no gradients.
    """

    data: bytes = field(repr=False)
    in_type: FieldType = field(compare=False)
    out_type: FieldType = field(compare=False)
    grid: tuple[int, ...] = field(compare=False)
    boundary: tuple[Boundary, ...] = field(compare=False)
    exported: jax.export.Exported = field(compare=False, repr=False)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to fields of `out_type`. **Raises** `ValueError` for any others."""
        made = (self.in_type, self.grid, self.boundary, "float32")
        given = (image.field_type, image.grid, image.boundary, str(image.array.dtype))
        if given != made:
            raise ValueError(
                f"This program was exported for {_said(*made)}; it cannot take {_said(*given)}. Export the model again "
                f"for these."
            )
        samples = image.array.reshape(-1, *image.array.shape[-1 - image.ndim :])
        array = self.exported.call(samples)  # type: ignore[no-untyped-call]
        return MultiImage(array.reshape(*image.batch, *array.shape[1:]), self.out_type, self.boundary)


def _said(field_type: FieldType, grid: tuple[int, ...], boundary: tuple[Boundary, ...], dtype: str) -> str:
    return f"{field_type} on {'x'.join(map(str, grid))} pixels with {', '.join(boundary)} ({dtype})"


def export_program(
    model: Callable[[MultiImage], MultiImage],
    field_type: FieldType,
    *,
    grid: tuple[int, ...],
    boundary: tuple[Boundary, ...],
    precision: Precision = "float32",
) -> bytes:
    """A model as a program that CPUs and NVIDIA GPUs can run, for any number of samples; `load_program` reads it.

    A line of JSON that says what the program takes and gives, then what `jax.export` writes.

    **Arguments:**

    - model: from images to images, best a folded one; its weights become constants of the program.
    - field_type: the fields that it takes, in float32.
    - grid, boundary: the only ones that the program will take.
    - precision: as in `compile_model`.

    **Raises:** `ValueError` when the model refuses the grid, when it calls code that is no part of the program, and for
    an unknown precision.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    sample = (*grid, field_type.size(len(grid)))

    def predict(array: Array) -> MultiImage:
        return model(MultiImage(array, field_type, boundary))

    out_type = jax.eval_shape(predict, _struct(sample)).field_type
    program = jax.jit(jax.vmap(in_precision(lambda array: predict(array).array, precision)))
    exported = jax.export.export(program, platforms=PLATFORMS)(_struct((batch, *sample)))
    _check(exported)
    header = {"in_type": str(field_type), "out_type": str(out_type), "grid": grid, "boundary": boundary}
    return json.dumps(header).encode() + b"\n" + bytes(exported.serialize())


def load_program(data: bytes) -> ExportedModel:
    """The program that `export_program` wrote.

    Runs nothing, unpickles nothing, imports nothing: a program is arithmetic on arrays. One that calls native code,
    which `jax.export` would let it do, is refused.

    **Raises:** `ValueError` for data that is no such program.
    """
    header, _, program = data.partition(b"\n")
    try:
        said = json.loads(header)
        in_type, out_type = (FieldType.parse(said[name]) for name in ("in_type", "out_type"))
        grid, boundary = tuple(said["grid"]), tuple(said["boundary"])
        check_boundary(boundary)
        exported = jax.export.deserialize(bytearray(program))
        _check(exported)
        ((_, *taken), (_, *given)) = (exported.in_avals[0].shape, exported.out_avals[0].shape)
        features = [fields.size(len(grid)) for fields in (in_type, out_type)]
        if taken != [*grid, features[0]] or given[-1] != features[1]:
            raise ValueError("It takes or gives other shapes than its first line says.")
    except Exception as error:  # the reader of `jax.export` fails in any way on what is not its own
        raise ValueError(f"This is no exported program: {error}") from error
    return ExportedModel(data, in_type, out_type, grid, boundary, exported)


def _struct(shape: tuple[Any, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)  # type: ignore[no-untyped-call]


def _check(exported: jax.export.Exported) -> None:
    if NATIVE_CALL.search(exported.mlir_module()):
        raise ValueError("It calls native code, which no package may bring. Use layers that XLA itself computes.")
