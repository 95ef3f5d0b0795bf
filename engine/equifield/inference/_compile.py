"""Ahead-of-time compilation for grids and batch sizes."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Compiled
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..multi_image import Boundary, MultiImage
from ._precision import Precision, in_precision

Grid = tuple[int, ...]
Prediction = Float[np.ndarray, "batch *out_grid out_features"]
Function = Callable[..., Any]

PIXELS = 64 * 64
"""How many pixels a CPU takes at a time, unless one sample has more."""


class CompiledModel:
    """A model compiled ahead of time for some grids and batch sizes, with one boundary.

    Takes any number of samples: fills up the smallest batch that holds them by repeating the last one, which adds no
    new way to overflow, or cuts them into the largest batches. Weights are arguments of the programs, not constants.

    - programs: what has been compiled so far, by grid and batch size. A program is compiled when it is first needed,
        all that are missing by `compile`.
    """

    programs: dict[tuple[Grid, int], Compiled]

    def __init__(
        self,
        model: Callable[[MultiImage], MultiImage],
        field_type: FieldType,
        *,
        grids: Iterable[Grid],
        batches: Iterable[int],
        boundary: tuple[Boundary, ...],
        precision: Precision = "float32",
        cut: bool = True,
    ):
        """Compiles nothing yet, but asks the model about every grid.

        As `compile_model`; without `cut` a CPU takes whole batches too: what is best for folded networks need not be
        for other programs.
        """
        self._cut = cut
        self.grids, self.batches = tuple(map(tuple, grids)), tuple(sorted(set(batches)))
        if not self.grids or not self.batches or self.batches[0] < 1:
            raise ValueError(
                f"A model is compiled for at least one grid and one positive batch size, not for {self.grids} and "
                f"{self.batches}."
            )
        self.programs = {}
        self._parameters, static = eqx.partition(model, eqx.is_array)
        self._features = field_type.size(len(boundary))

        def run(parameters: Any, array: Array) -> Array:
            function: Callable[[MultiImage], MultiImage] = eqx.combine(parameters, static)
            return function(MultiImage(array, field_type, boundary)).array

        self._run = in_precision(run, precision)
        self._donated = {grid: donates(self._run, self._parameters, self._input(grid, 1)) for grid in self.grids}

    def compile(self) -> None:
        """Compiles every batch size on every grid, unless that has been done."""
        for grid in self.grids:
            for batch in self.sizes(grid):
                self._program(grid, batch)

    def sizes(self, grid: Grid) -> list[int]:
        """The batch sizes that there are programs for on a grid, in ascending order.

        On a CPU no more samples than have `PIXELS` pixels together, or one: more at once do not fit into its caches,
        take no less time and more memory.
        """
        most = max(self.batches)
        if self._cut and jax.default_backend() == "cpu":
            most = max(1, PIXELS // math.prod(grid))
        return sorted({min(batch, most) for batch in self.batches})

    def compile_for(self, grid: Grid, samples: int) -> None:
        """Compiles the program that takes so many samples on a grid, unless that has been done."""
        self._program(grid, self._batch(grid, samples))

    def is_compiled_for(self, grid: Grid, samples: int) -> bool:
        """Whether so many samples on a grid can be predicted without compiling."""
        return (grid, self._batch(grid, samples)) in self.programs

    def __call__(self, array: Float[Array | np.ndarray, "batch *grid features"]) -> Prediction:
        """The packed prediction for packed samples in float32.

        **Raises:** `ValueError` for a grid or a precision that it is not compiled for, and for no samples at all.
        """
        return self.start(array)()

    def start(self, array: Float[Array | np.ndarray, "batch *grid features"]) -> Callable[[], Prediction]:
        """Begins a prediction and returns at once; calling what it returns waits for it, and gives it.

        Samples that need several programs one after the other are begun by that call. **Raises:** as the model itself.
        """
        array = np.asarray(array)  # of an array on the device a donating program would take the memory
        sides = array.shape[1:-1]
        if sides not in self.grids or array.shape != (len(array) or 1, *sides, self._features):
            raise ValueError(
                f"This model is compiled for arrays (batch, *grid, {self._features}) on the grids "
                f"{', '.join(map(str, self.grids))}, not for {array.shape}. Compile it for that grid."
            )
        if array.dtype != np.float32:
            raise ValueError(
                f"A compiled model takes float32, not {array.dtype}. Convert it: `array.astype('float32')`."
            )
        largest = self.sizes(sides)[-1]
        if len(array) <= largest:
            return self._begin(array)
        parts = [array[n : n + largest] for n in range(0, len(array), largest)]
        return lambda: np.concatenate([self._begin(part)() for part in parts])

    def _begin(self, array: Float[np.ndarray, "batch *grid features"]) -> Callable[[], Prediction]:
        grid, number = array.shape[1:-1], len(array)
        batch = self._batch(grid, number)
        if number < batch:
            array = np.concatenate([array, np.broadcast_to(array[-1:], (batch - number, *array.shape[1:]))])
        predicted = self._program(grid, batch)(self._parameters, array)
        return lambda: np.asarray(predicted)[:number]

    def _batch(self, grid: Grid, samples: int) -> int:
        """The smallest batch that holds so many samples, else the largest."""
        sizes = self.sizes(grid)
        return next((size for size in sizes if size >= samples), sizes[-1])

    def _program(self, grid: Grid, batch: int) -> Compiled:
        if (grid, batch) not in self.programs:
            compiled = ahead_of_time(self._run, self._parameters, self._input(grid, batch), donate=self._donated[grid])
            self.programs[grid, batch] = compiled
        return self.programs[grid, batch]

    def _input(self, grid: Grid, batch: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((batch, *grid, self._features), jnp.float32)  # type: ignore[no-untyped-call]


def compile_model(
    model: Callable[[MultiImage], MultiImage],
    field_type: FieldType,
    *,
    grids: Iterable[Grid],
    batches: Iterable[int],
    boundary: tuple[Boundary, ...],
    precision: Precision = "float32",
) -> CompiledModel:
    """Compiles a model for every one of these grids and batch sizes; nothing is traced or compiled after that.

    **Arguments:**

    - model: from images to images, best a folded one.
    - field_type: the fields that it takes.
    - grids: the sizes of the grid axes.
    - batches: how many samples a program takes; powers of two waste less than half of the work. On a CPU large samples
        are taken one at a time, whatever this says.
    - boundary: what lies beyond the grid's edge, per axis.
    - precision: of matrix products and convolutions: `float32`, `tf32` or `bfloat16`; all else is in float32.

    **Raises:** `ValueError` when the model refuses a grid, and for an unknown precision.
    """
    compiled = CompiledModel(model, field_type, grids=grids, batches=batches, boundary=boundary, precision=precision)
    compiled.compile()
    return compiled


def ahead_of_time(run: Function, parameters: Any, *arrays: jax.ShapeDtypeStruct | None, donate: bool) -> Compiled:
    """A function of parameters and arrays, compiled; with `donate` the memory of the first becomes the output's."""
    return jax.jit(run, donate_argnums=(1,) if donate else ()).lower(parameters, *arrays).compile()


def donates(run: Function, parameters: Any, array: jax.ShapeDtypeStruct) -> bool:
    """Whether some output of a function fits the memory of its input."""
    outputs = jax.tree.leaves(jax.eval_shape(run, parameters, array))
    return any((output.shape, output.dtype) == (array.shape, array.dtype) for output in outputs)
