"""Where a recipe's data come from."""

import dataclasses
from glob import glob
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, model_validator

from ...package import FieldSpec, GridSpec
from ...package.manifest import names_of
from .._baseline import Baseline
from ..data import Excerpt, NetCDFSeries, Pairs, PDEBenchSeries, Series, WellSeries
from ..simulate import Burgers3D, DecayingTurbulence2D, ForcedTurbulence2D, SubgridStress2D

Role = Literal["training", "validation", "testing"]
Problem = Literal["burgers-3d", "decaying-turbulence-2d", "forced-turbulence-2d", "subgrid-stress-2d"]
Fields = tuple[FieldSpec, ...]

PROBLEMS: dict[Problem, type] = {
    "burgers-3d": Burgers3D,
    "decaying-turbulence-2d": DecayingTurbulence2D,
    "forced-turbulence-2d": ForcedTurbulence2D,
    "subgrid-stress-2d": SubgridStress2D,
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Simulation(_Frozen):
    """Data that are computed: so many trajectories of a problem for each role, none of them in two.

    The first trajectories of many are those of few, and those for testing do not depend on the number of the others.
    `parameters` are those of the problem in `equifield.train.simulate`.
    """

    source: Literal["simulation"]
    problem: Problem
    parameters: dict[str, JsonValue] = {}
    training: int = Field(ge=1)
    validation: int = Field(ge=1)
    testing: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> "Simulation":
        self._made()
        return self

    def open(self, role: Role, inputs: Fields, outputs: Fields, grid: GridSpec) -> Series | Pairs:
        """The data of a role, from the cache of simulations or computed into it."""
        seed = len(get_args(Role)) * self.seed + get_args(Role).index(role)
        data: Series | Pairs = self._made().simulate(getattr(self, role), seed=seed)
        return data

    def baselines(self, inputs: Fields, outputs: Fields, grid: GridSpec) -> dict[str, Baseline]:
        """What is known to predict the outputs of a problem of pairs, in physical units."""
        known: dict[str, Baseline] = self._made().baselines(self.open("training", inputs, outputs, grid))
        return known

    def describe(self) -> str:
        """The physics, for a model card."""
        return (
            f"{self._made().describe()} {self.training} trajectories for training, {self.validation} for validation, "
            f"{self.testing} for testing; seed {self.seed}."
        )

    def _made(self) -> Any:
        problem = PROBLEMS[self.problem]
        known = [field.name for field in dataclasses.fields(problem)]
        if unknown := sorted(self.parameters.keys() - known):
            raise ValueError(f"{self.problem} has no parameters {', '.join(unknown)}, but {', '.join(known)}.")
        return TypeAdapter(problem).validate_python(self.parameters)


class Part(_Frozen):
    """The files of one role; of long ones a range of times `[first, end)`, of many trajectories a range of these.

    `variables` are those of `data.NetCDFSeries`, in these files.
    """

    files: tuple[str, ...] = Field(min_length=1)
    times: tuple[int, int] | None = None
    trajectories: tuple[int, int] | None = None
    variables: dict[str, str] = {}

    def describe(self) -> str:
        """The files, and which times and trajectories of them."""
        ranges = {"times": self.times, "trajectories": self.trajectories}
        chosen = (f"{name} {span(chosen)}" for name, chosen in ranges.items() if chosen is not None)
        return ", ".join([*self.files, *chosen])


def span(chosen: tuple[int, int]) -> str:
    """A range `[first, end)` in words, from the first to the last."""
    first, end = chosen
    return str(first) if end == first + 1 else f"{first} to {end - 1}"


class Files(_Frozen):
    """Data from files, named by patterns such as `runs/*.nc` from the folder in which the command runs.

    `axes`, `time` and `trajectory` are those of `data.NetCDFSeries`, `pseudo` is that of `data.WellSeries`.
    """

    source: Literal["netcdf", "pdebench", "well"]
    training: Part
    validation: Part
    testing: Part
    axes: dict[str, str] = {}
    time: str = "time"
    trajectory: str | None = None
    pseudo: tuple[str, ...] = ()

    def open(self, role: Role, inputs: Fields, outputs: Fields, grid: GridSpec) -> Series | Pairs:
        """The data of a role, read from its files when they are asked for.

        **Raises:** `FileNotFoundError`, and what the readers of `train.data` raise.
        """
        part: Part = getattr(self, role)
        files = sorted(name for pattern in part.files for name in glob(pattern))
        if not files:
            raise FileNotFoundError(f"There are no files for {role} at {', '.join(part.files)}.")
        if self.source == "well":
            return self._part(part, WellSeries(files, pseudo=self.pseudo, boundary=grid.boundary))
        if self.source == "pdebench":
            return self._part(part, PDEBenchSeries(files, grid.boundary))
        if {field.name for field in outputs} <= {field.name for field in inputs}:
            return self._netcdf(part, files, outputs, grid, tuple(field for field in inputs if field.constant))
        return Pairs(self._netcdf(part, files, inputs, grid), self._netcdf(part, files, outputs, grid))

    def baselines(self, inputs: Fields, outputs: Fields, grid: GridSpec) -> dict[str, Baseline]:
        """Nothing is known of fields that come from files."""
        return {}

    def describe(self) -> str:
        """Where the data come from, in a sentence for a manifest."""
        return f"{self.kind}: {'; '.join(f'{getattr(self, role).describe()} for {role}' for role in get_args(Role))}."

    def unknown(self, fields: Fields) -> list[str]:
        """What `variables` of a part names that none of the fields is called."""
        named = {name for role in get_args(Role) for name in getattr(self, role).variables}
        return sorted(named - names_of(fields))

    @property
    def kind(self) -> str:
        """What the files are."""
        return {"netcdf": "NetCDF files", "pdebench": "HDF5 files of PDEBench", "well": "HDF5 files of The Well"}[
            self.source
        ]

    def _netcdf(self, part: Part, files: list[str], fields: Fields, grid: GridSpec, constants: Fields = ()) -> Series:
        named = names_of((*fields, *constants))
        series = NetCDFSeries(
            files,
            fields,
            grid,
            constants=constants,
            variables={name: found for name, found in part.variables.items() if name in named},
            axes=self.axes,
            time=self.time,
            trajectory=self.trajectory,
        )
        return self._part(part, series)

    @staticmethod
    def _part(part: Part, series: Series) -> Series:
        return Excerpt(series, part.trajectories, part.times)


Source = Annotated[Simulation | Files, Field(discriminator="source")]
