"""The exported programs of a package, which serve a model whose code is not installed."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import equinox as eqx
import jax.random as jr
import numpy as np

from ..boundary import Boundary
from ..groups import group_named
from ..inference import ExportedModel, export_program, fold, load_program
from ..models import AbstractNetwork
from ..multi_image import MultiImage, random_image
from ..symmetry import TOLERANCE
from ._errors import PackageCorrupt
from ._field_model import field_type_of
from ._verify import PROGRAMS
from .manifest import Manifest

Place = tuple[tuple[int, ...], tuple[Boundary, ...]]
CHECKED_BATCH = 3


class ExportedNetwork(AbstractNetwork):
    """A network as the programs that were exported from it: each takes one grid with one boundary."""

    programs: tuple[ExportedModel, ...] = eqx.field(static=True)
    step: int = eqx.field(static=True)

    @property
    def translation_step(self) -> int:
        """That of the network."""
        return self.step

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields to fields. **Raises** `ValueError` for a grid that was not exported."""
        for program in self.programs:
            if (program.grid, program.boundary) == (image.grid, image.boundary):
                return program(image)
        known = ", ".join(_name(program.grid, program.boundary) for program in self.programs)
        raise ValueError(
            f"The code of this model is not installed, and it was exported for other grids and boundaries than "
            f"{_name(image.grid, image.boundary)}. Those that work: {known}."
        )


def export(manifest: Manifest, network: AbstractNetwork) -> dict[str, bytes]:
    """The programs of a network, by the names of their files in a package."""
    folded, in_type = fold(network), field_type_of(manifest.inputs)
    return {
        f"{PROGRAMS}/{_name(grid, boundary)}": export_program(folded, in_type, grid=grid, boundary=boundary)
        for grid, boundary in _places(manifest)
    }


def restore(manifest: Manifest, files: Mapping[str, bytes], package: Path) -> ExportedNetwork:
    """The network that these programs are. **Raises** `PackageCorrupt` unless each is what the manifest describes."""
    types = (field_type_of(manifest.inputs), field_type_of(manifest.outputs))
    programs = []
    for place in _places(manifest):
        name = f"{PROGRAMS}/{_name(*place)}"
        try:
            program = load_program(files[name])
        except (KeyError, ValueError) as error:
            raise PackageCorrupt(package / name, f"no program that can be run: {error}") from error
        if (program.in_type, program.out_type, program.grid, program.boundary) != (*types, *place):
            raise PackageCorrupt(package / name, "the program takes or gives other fields than the manifest says.")
        programs.append(program)
    return ExportedNetwork(tuple(programs), manifest.translation_step)


def check(manifest: Manifest, exported: ExportedNetwork, network: AbstractNetwork, *, seed: int) -> None:
    """**Raises** `ValueError` unless the programs compute on random fields what the network computes."""
    for program in exported.programs:
        image = random_image(program.in_type, program.boundary, program.grid, batch=(CHECKED_BATCH,), key=jr.key(seed))
        given, expected = (np.asarray(eqx.filter_jit(model)(image).array) for model in (exported, network))
        error = float(np.linalg.norm(given - expected)) / (float(np.linalg.norm(expected)) or 1.0)
        if not error <= TOLERANCE[manifest.dtype]:
            raise ValueError(
                f"`write_package({manifest.name})`: the program exported for {_name(program.grid, program.boundary)} "
                f"differs from the network by {error:.2e} relative. Does the network compute the same every time?"
            )


def _places(manifest: Manifest) -> list[Place]:
    """The grids to compile at the start, or the default one, and their boundary, as the group turns them."""
    grid = manifest.grid
    pairs = itertools.product(grid.warm or (grid.default,), group_named(manifest.group))
    return list(dict.fromkeys((g.permute(sides), g.permute(grid.boundary)) for sides, g in pairs))


def _name(grid: tuple[int, ...], boundary: tuple[Boundary, ...]) -> str:
    return f"{'x'.join(map(str, grid))}-{'-'.join(boundary)}"
