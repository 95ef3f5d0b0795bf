"""A model in a worker: loaded, folded, compiled for the grids it serves."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.inference import compile_model, fold
from equifield.multi_image import MultiImage, random_image
from equifield.package import field_type_of, load_package
from equifield.package.manifest import packed_fields
from equifield.symmetry import EquivarianceReport, equivariance_report

from ..domain.errors import GridUnsupported
from ..scheduling import Array

Program = Callable[[Array], jax.Array]
Shape = tuple[tuple[int, ...], tuple[Boundary, ...]]


class LoadedModel:
    """One model of the store, ready to predict; its programs are kept per grid and boundary."""

    def __init__(self, package: Path, *, max_batch: int, max_grids: int):
        loaded = load_package(package)
        self.manifest, self.certificate = loaded.manifest, loaded.certificate
        self._model = loaded.model
        self._folded = fold(loaded.model)
        self._in_type = field_type_of(self.manifest.inputs)
        self._out_type = field_type_of(self.manifest.outputs)
        self._max_batch, self._max_grids = max_batch, max(max_grids, len(self.manifest.grid.warm))
        self._programs: OrderedDict[Shape, dict[int, Program]] = OrderedDict()

    @property
    def programs(self) -> int:
        """How many programs are compiled and kept."""
        return sum(map(len, self._programs.values()))

    def warm(self) -> None:
        """Compiles every batch size for the grids that the manifest lists."""
        for grid in self.manifest.grid.warm:
            for size in buckets(self._max_batch):
                self._program(grid, self.manifest.grid.boundary, size)

    def predict(self, array: Array, boundary: tuple[Boundary, ...]) -> Array:
        """The prediction for packed samples `(batch, *grid, features)`, at most `max_batch` of them."""
        size = next(size for size in buckets(self._max_batch) if size >= len(array))
        program = self._program(array.shape[1:-1], boundary, size)
        return np.asarray(program(padded(array, size)))[: len(array)]

    def self_check(self) -> dict[str, Any]:
        """The report on random fields, on the grid and boundary that the manifest names first."""
        spec = self.manifest.grid
        return self.check(None, grid=spec.default, boundary=spec.boundary, seed=0)

    def check(
        self, array: Array | None, *, grid: tuple[int, ...], boundary: tuple[Boundary, ...], seed: int
    ) -> dict[str, Any]:
        """The equivariance report of what is served, on given samples or on random fields of a seed."""
        image = self._random(grid, boundary, seed) if array is None else self._image(array, boundary)
        return self._report(image).to_dict([field.name for field in packed_fields(self.manifest.outputs)])

    def _report(self, image: MultiImage) -> EquivarianceReport:
        return equivariance_report(
            self._served,
            image,
            group_named(self.manifest.group),
            translation_step=self.manifest.translation_step,
        )

    def _served(self, image: MultiImage) -> MultiImage:
        prediction = self.predict(np.asarray(image.array), image.boundary)
        served = MultiImage(jnp.asarray(prediction), self._out_type, image.boundary)
        return self._model.normalised(served)

    def _image(self, array: Array, boundary: tuple[Boundary, ...]) -> MultiImage:
        return MultiImage(jnp.asarray(array), self._in_type, boundary)

    def _random(self, grid: tuple[int, ...], boundary: tuple[Boundary, ...], seed: int) -> MultiImage:
        dtype = jnp.dtype(self.manifest.dtype)
        normal = random_image(self._in_type, boundary, grid, batch=(1,), dtype=dtype, key=jr.key(seed))
        return self._model.physical(normal)

    def _program(self, grid: tuple[int, ...], boundary: tuple[Boundary, ...], size: int) -> Program:
        """The program of one shape, compiled when it is first asked for.

        Raises:
            GridUnsupported: the model refuses the grid or its boundaries.
        """
        programs = self._programs.pop((grid, boundary), {})
        if size not in programs:
            try:
                programs[size] = compile_model(
                    self._folded,
                    self._in_type,
                    grid=grid,
                    batch=size,
                    boundary=boundary,
                    dtype=self.manifest.dtype,
                )
            except ValueError as error:
                raise GridUnsupported(str(error)) from error
        self._programs[grid, boundary] = programs
        while len(self._programs) > self._max_grids:
            self._programs.popitem(last=False)
        return programs[size]


def buckets(max_batch: int) -> list[int]:
    """The batch sizes that are compiled: powers of two, and `max_batch` itself."""
    return [2**power for power in range((max_batch - 1).bit_length())] + [max_batch]


def padded(array: Array, size: int) -> Array:
    """`array` with its last sample repeated up to `size` samples; which adds no new way to overflow."""
    if len(array) == size:
        return array
    return np.concatenate([array, np.broadcast_to(array[-1:], (size - len(array), *array.shape[1:]))])
