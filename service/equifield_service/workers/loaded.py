"""A model in a worker: loaded, folded, compiled for the grids it serves."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.inference import CompiledModel, fold, merge
from equifield.multi_image import MultiImage, random_image
from equifield.package import field_type_of, load_package
from equifield.package.manifest import packed_fields
from equifield.symmetry import EquivarianceReport, equivariance_report

from ..domain.errors import GridUnsupported
from ..scheduling import Array

Shape = tuple[tuple[int, ...], tuple[Boundary, ...]]


class LoadedModel:
    """One model of the store, ready to predict; its programs are kept per grid and boundary."""

    def __init__(self, package: Path, *, max_batch: int, max_grids: int):
        loaded = load_package(package)
        self.manifest, self.certificate = loaded.manifest, loaded.certificate
        self._model = loaded.model
        self._in_type = field_type_of(self.manifest.inputs)
        self._out_type = field_type_of(self.manifest.outputs)
        grid = self.manifest.grid
        self._folded = fold(merge(self._model, self._random(grid.default, grid.boundary, seed=0)))
        self._max_batch, self._max_grids = max_batch, max(max_grids, len(grid.warm))
        self._compiled: OrderedDict[Shape, CompiledModel] = OrderedDict()

    @property
    def programs(self) -> int:
        """How many programs are compiled and kept."""
        return sum(len(compiled.programs) for compiled in self._compiled.values())

    def warm(self) -> None:
        """Compiles every batch size for the grids that the manifest lists."""
        for grid in self.manifest.grid.warm:
            self._on(grid, self.manifest.grid.boundary).compile()

    def predict(self, array: Array, boundary: tuple[Boundary, ...]) -> Array:
        """The prediction for packed samples `(batch, *grid, features)`; compiles what is not compiled yet."""
        return self._on(array.shape[1:-1], boundary)(array)

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

    def _on(self, grid: tuple[int, ...], boundary: tuple[Boundary, ...]) -> CompiledModel:
        """The model on one grid, whose programs are compiled when they are first needed.

        Raises:
            GridUnsupported: the model refuses the grid or its boundaries.
        """
        if (grid, boundary) not in self._compiled:
            sizes = buckets(self._max_batch)
            try:
                compiled = CompiledModel(self._folded, self._in_type, grids=[grid], batches=sizes, boundary=boundary)
            except ValueError as error:
                raise GridUnsupported(str(error)) from error
            self._compiled[grid, boundary] = compiled
        self._compiled.move_to_end((grid, boundary))
        while len(self._compiled) > self._max_grids:
            self._compiled.popitem(last=False)
        return self._compiled[grid, boundary]


def buckets(max_batch: int) -> list[int]:
    """The batch sizes that are compiled: powers of two, and `max_batch` itself."""
    return [2**power for power in range((max_batch - 1).bit_length())] + [max_batch]
