"""A model in a worker: loaded, folded, compiled for the grids it serves."""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.inference import CompiledModel, CompiledRollout, compile_rollout, fold, merge
from equifield.multi_image import MultiImage, random_image
from equifield.nn import GroupAverage
from equifield.package import ExportedNetwork, field_type_of, load_package
from equifield.package.manifest import constant_features, packed_fields
from equifield.symmetry import EquivarianceReport, equivariance_report

from ..domain.errors import GridUnsupported
from ..scheduling import Array, Precision
from .rollouts import Course, Rollouts

Programs = TypeVar("Programs", CompiledModel, Rollouts)


@dataclass(frozen=True)
class Case:
    """What a program is compiled for, apart from the number of samples."""

    grid: tuple[int, ...]
    boundary: tuple[Boundary, ...]
    precision: Precision = "float32"
    symmetrize: bool = False
    piece: int | None = None
    """Steps of a rollout that one program makes; None for a prediction."""


class LoadedModel:
    """One model of the store, ready to predict; its programs are kept per case.

    Predictions are begun by one thread, while another one compiles.
    """

    def __init__(self, package: Path, *, max_batch: int, max_grids: int):
        loaded = load_package(package)
        self.manifest, self.certificate = loaded.manifest, loaded.certificate
        self._model = loaded.model
        self._cut = not isinstance(loaded.model.network, ExportedNetwork)
        self._in_type = field_type_of(self.manifest.inputs)
        self._out_type = field_type_of(self.manifest.outputs)
        grid, fields = self.manifest.grid, (*self.manifest.inputs, *self.manifest.outputs)
        plain = all((field.mean, field.scale) == (0.0, 1.0) for field in fields)  # nothing to normalise
        served = self._model.network if plain else self._model
        self._folded = fold(merge(served, self._random(grid.default, grid.boundary, seed=0)))
        self._max_batch, self._max_grids = max_batch, max(max_grids, len(grid.warm))
        self._compiled: OrderedDict[Case, CompiledModel | Rollouts] = OrderedDict()
        self._keeping = threading.Lock()

    @property
    def programs(self) -> int:
        """How many programs are compiled and kept."""
        return sum(len(compiled.programs) for compiled in self._kept())

    @property
    def device_bytes(self) -> int:
        """Device memory that the weights take, the programs, and what the largest of them computes with."""
        weights = sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(self._folded, eqx.is_array)))
        programs = [program.memory_analysis() for kept in self._kept() for program in list(kept.programs.values())]
        needs = [need for need in programs if need is not None]  # not every platform knows
        code = sum(int(need.generated_code_size_in_bytes) for need in needs)
        return int(weights) + code + max((int(need.temp_size_in_bytes) for need in needs), default=0)

    def warm(self) -> None:
        """Compiles every batch size for the grids that the manifest lists."""
        for grid in self.manifest.grid.warm:
            self._for(Case(grid, self.manifest.grid.boundary)).compile()

    def prepare(self, case: Case, samples: int) -> None:
        """Compiles what so many samples need.

        Raises:
            GridUnsupported: the model refuses the grid or its boundaries, or changes them, so that it has no rollout.
        """
        if case.piece is None:
            self._for(case).compile_for(case.grid, samples)
        else:
            self._rollouts_for(case).compile_for(case.grid, samples)

    def start(self, array: Array, case: Case) -> Callable[[], Array] | None:
        """Begins the prediction for packed samples `(batch, *grid, features)`; the call of the result waits for it.

        None when something would have to be compiled first.
        """
        compiled = self._ready(case, len(array))
        return compiled.start(array) if isinstance(compiled, CompiledModel) else None

    def rollout(self, array: Array, case: Case, course: Course) -> Callable[[], Array] | None:
        """What makes the wanted states `(batch, frames, *grid, features)` that follow packed samples.

        None when something would have to be compiled first.
        """
        rollouts = self._ready(case, len(array))
        return functools.partial(rollouts, array, course) if isinstance(rollouts, Rollouts) else None

    def predict(self, array: Array, boundary: tuple[Boundary, ...]) -> Array:
        """The prediction for packed samples `(batch, *grid, features)`; compiles what is not compiled yet."""
        prediction: Array = self._for(Case(array.shape[1:-1], boundary))(array)
        return prediction

    def self_check(self) -> dict[str, Any]:
        """The report on random fields, on the grid and boundary that the manifest names first."""
        spec = self.manifest.grid
        return self.check(None, grid=spec.default, boundary=spec.boundary, seed=0)[0]

    def check(
        self, array: Array | None, *, grid: tuple[int, ...], boundary: tuple[Boundary, ...], seed: int
    ) -> tuple[dict[str, Any], Array]:
        """The equivariance report of what is served, on given samples or on random fields of a seed.

        With it the residual g^-1 f(g x) - f(x) of the worst transformation, packed, in the units of the manifest.
        """
        image = self._random(grid, boundary, seed) if array is None else self._image(array, boundary)
        report, fields = self._report(image), packed_fields(self.manifest.outputs)
        scales = np.repeat([field.scale for field in fields], [self.manifest.ndim**field.order for field in fields])
        residual = np.asarray(report.residual, np.float32) * scales.astype(np.float32)
        return report.to_dict([field.name for field in fields]), residual

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

    def _ready(self, case: Case, samples: int) -> CompiledModel | Rollouts | None:
        """What is compiled for so many samples, which is thereby the most recently used one."""
        with self._keeping:
            compiled = self._compiled.get(case)
            if compiled is None or not compiled.is_compiled_for(case.grid, samples):
                return None
            self._compiled.move_to_end(case)
            return compiled

    def _kept(self) -> list[CompiledModel | Rollouts]:
        with self._keeping:
            return list(self._compiled.values())

    def _for(self, case: Case) -> CompiledModel:
        """The model in one case, whose programs are compiled when they are first needed.

        Raises:
            GridUnsupported: the model refuses the grid or its boundaries.
        """
        with self._keeping:
            known = self._compiled.get(case)
        return self._keep(case, known if isinstance(known, CompiledModel) else self._new(case))

    def _rollouts_for(self, case: Case) -> Rollouts:
        with self._keeping:
            known = self._compiled.get(case)
        return self._keep(case, known if isinstance(known, Rollouts) else self._new_rollouts(case))

    def _keep(self, case: Case, programs: Programs) -> Programs:
        with self._keeping:
            self._compiled[case] = programs
            self._compiled.move_to_end(case)
            while len(self._compiled) > self._max_grids:
                self._compiled.popitem(last=False)
        return programs

    def _new(self, case: Case) -> CompiledModel:
        try:
            return CompiledModel(
                self._function(case),
                self._in_type,
                grids=[case.grid],
                batches=buckets(self._max_batch),
                boundary=case.boundary,
                precision=case.precision,
                cut=self._cut,
            )
        except ValueError as error:
            raise GridUnsupported(str(error)) from error

    def _new_rollouts(self, case: Case) -> Rollouts:
        model, fixed = self._function(case), tuple(field for field in self.manifest.inputs if field.constant)

        def new(grid: tuple[int, ...], batch: int) -> CompiledRollout:
            steps = case.piece or 1
            try:
                return compile_rollout(
                    model,
                    self._out_type,
                    constants=field_type_of(fixed) if fixed else None,
                    grid=grid,
                    batch=batch,
                    boundary=case.boundary,
                    past=1,
                    chunk=steps,
                    every=steps,
                    precision=case.precision,
                )
            except ValueError as error:
                raise GridUnsupported(str(error)) from error

        return Rollouts(self._new(case).sizes, new, constant_features(self.manifest))

    def _function(self, case: Case) -> Callable[[MultiImage], MultiImage]:
        return GroupAverage(self._folded, group_named(self.manifest.group)) if case.symmetrize else self._folded


def buckets(max_batch: int) -> list[int]:
    """The batch sizes that are compiled: powers of two, and `max_batch` itself."""
    return [2**power for power in range((max_batch - 1).bit_length())] + [max_batch]
