"""The manifest of a model package: what a model takes, what it gives, and the hash of every file.

Reading a manifest needs pydantic alone, so that processes which must not import JAX can do it.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from ..boundary import Boundary
from ..groups import group_named

FORMAT: Final = 2
"""The newest package format that this version reads, and the one it writes."""

SMALLEST_CHECK = 8
"""Pixels per side below which a check says little."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
AxisName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
TensorSymmetry = Literal["symmetric", "antisymmetric", "traceless"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Component(_Frozen):
    """One entry of a tensor: the axes it points along and what it is called in a file.

    `axes` is `()` for a scalar, `("x",)` for the x-component of a vector, `("x", "y")` for an entry of
    an order-2 tensor. `standard_names` are the CF standard names under which it is recognised; the first
    is the one that is written.
    """

    axes: tuple[AxisName, ...] = ()
    variable: str
    standard_names: tuple[str, ...] = ()


class FieldSpec(_Frozen):
    """A named tensor field: order, parity, units, components and a normalisation that commutes with the group.

    The model sees `(x - mean) / scale`. Only a true scalar may have a mean: subtracting a constant from a
    component of a vector, or from a pseudoscalar, would pick out a direction.

    `constant` says of an input that it stays as it is in a rollout, such as orography or a forcing. `symmetry` is what
    an output of order two always has, whatever the weights.
    """

    name: str
    order: int = Field(ge=0)
    parity: Literal[0, 1] = 0
    units: str | None = None
    long_name: str | None = None
    components: tuple[Component, ...]
    mean: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    constant: bool = False
    symmetry: tuple[TensorSymmetry, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "FieldSpec":
        if self.mean != 0 and (self.order, self.parity) != (0, 0):
            raise ValueError(
                f"field '{self.name}' has mean {self.mean}, but only a true scalar (order 0, parity 0) may be "
                f"centred without breaking equivariance. Set mean to 0 and keep the scale."
            )
        if self.symmetry and self.order != 2:
            raise ValueError(f"field '{self.name}' has order {self.order}, but `symmetry` is of tensors of order 2.")
        if {"symmetric", "antisymmetric"} <= set(self.symmetry):
            raise ValueError(f"field '{self.name}' is zero if it is symmetric and antisymmetric. Name one of them.")
        for component in self.components:
            if len(component.axes) != self.order:
                raise ValueError(
                    f"field '{self.name}' has order {self.order}, but its component '{component.variable}' "
                    f"names {len(component.axes)} axes {component.axes}. Name one axis per order."
                )
        return self


class GridSpec(_Frozen):
    """The grids a model accepts: axis names, default boundary of each, and the sizes that keep the law.

    `multiple` divides every side (a U-Net that halves twice needs 4); `minimum` is the shortest side.
    `spacing="any"` means that coordinates are read as plain indices. `warm` lists grids compiled at start-up.

    Pixels are cells, and `refinement` says into how many every one is divided along each axis in the outputs: their
    centres lie inside of it, evenly spaced and symmetric about its own.
    """

    axes: tuple[AxisName, ...] = Field(min_length=1, max_length=3)
    boundary: tuple[Boundary, ...]
    spacing: Literal["uniform", "any"] = "uniform"
    multiple: int = Field(default=1, ge=1)
    minimum: int = Field(default=1, ge=1)
    refinement: int = Field(default=1, ge=1)
    warm: tuple[tuple[int, ...], ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "GridSpec":
        if len(set(self.axes)) != len(self.axes):
            raise ValueError(f"grid.axes {self.axes} names an axis twice.")
        for name, length in [("boundary", len(self.boundary)), *(("warm", len(grid)) for grid in self.warm)]:
            if length != len(self.axes):
                raise ValueError(f"grid.{name} has {length} entries for the axes {self.axes}; give one per axis.")
        for side in (side for grid in self.warm for side in grid):
            if side < self.minimum or side % self.multiple:
                raise ValueError(
                    f"grid.warm names the side {side}, but sides are multiples of {self.multiple} and at least "
                    f"{self.minimum}."
                )
        return self

    @property
    def default(self) -> tuple[int, ...]:
        """The grid on which a model is checked when nobody names one: the first warm one, or a small one."""
        side = -(-max(self.minimum, SMALLEST_CHECK) // self.multiple) * self.multiple
        return self.warm[0] if self.warm else (side,) * len(self.axes)

    def refined(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """The grid of the outputs, when the inputs lie on this one."""
        return tuple(side * self.refinement for side in grid)


class Architecture(_Frozen):
    """Which of `equifield.architectures.ARCHITECTURES`, and the configuration it is built from."""

    name: str
    config: dict[str, JsonValue]


class Provenance(_Frozen):
    """Where the weights come from; `commit` is that of the repository in which they were trained, if it was one."""

    created: str
    engine_version: str
    commit: str | None = None
    training: str
    data: str
    seed: int | None = None


class Manifest(_Frozen):
    """Everything a service or a client must know about a model without loading it.

    `time_step` is the time between a state and the next one that the model predicts from it, in seconds.
    """

    format: Literal[1, 2] = FORMAT
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(pattern=r"^[1-9][0-9]*$")
    title: str
    description: str
    licence: str
    architecture: Architecture
    group: str
    inputs: tuple[FieldSpec, ...] = Field(min_length=1)
    outputs: tuple[FieldSpec, ...] = Field(min_length=1)
    grid: GridSpec
    dtype: Literal["float32"] = "float32"
    translation_step: int = Field(default=1, ge=1)
    time_step: float | None = Field(default=None, gt=0)
    provenance: Provenance
    files: dict[str, Sha256] = Field(default_factory=dict)
    digest: str = ""

    @model_validator(mode="after")
    def _check(self) -> "Manifest":
        dimension = group_named(self.group).dimension
        if dimension != len(self.grid.axes):
            raise ValueError(f"the group {self.group} acts on {dimension} axes, but the grid has {self.grid.axes}.")
        if any(field.constant for field in self.outputs):
            raise ValueError("outputs: a constant field is an input that stays as it is, and no output.")
        for side, fields in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [field.name for field in fields]
            variables = [component.variable for field in fields for component in field.components]
            if len(set(names)) != len(names) or len(set(variables)) != len(variables):
                raise ValueError(f"{side}: the fields {names} and their variables {variables} need different names.")
            for field in fields:
                wanted = set(itertools.product(self.grid.axes, repeat=field.order))
                given = Counter(component.axes for component in field.components)
                if set(given) != wanted or max(given.values()) > 1:
                    raise ValueError(
                        f"{side}: field '{field.name}' of order {field.order} on axes {self.grid.axes} needs one "
                        f"component for each of {sorted(wanted)}, but has {sorted(given.elements())}."
                    )
        return self

    @property
    def ndim(self) -> int:
        """The number of spatial axes."""
        return len(self.grid.axes)


def names_of(fields: Iterable[FieldSpec]) -> set[str]:
    """What some fields are called: their own names, and those of their components' variables."""
    return {name for field in fields for name in (field.name, *(part.variable for part in field.components))}


def packed_fields(fields: tuple[FieldSpec, ...]) -> tuple[FieldSpec, ...]:
    """The fields in the order in which their features are packed.

    By tensor order, then parity, constant fields behind the others (`rollout.model_input`), then as given.
    """
    return tuple(sorted(fields, key=lambda field: (field.order, field.parity, field.constant)))


def packed_components(fields: tuple[FieldSpec, ...], axes: tuple[str, ...]) -> list[tuple[FieldSpec, Component]]:
    """The field and component behind each feature of a packed array, in order (last tensor index fastest)."""
    return [
        (field, component)
        for field in packed_fields(fields)
        for component in sorted(field.components, key=lambda c: [axes.index(axis) for axis in c.axes])
    ]


def constant_features(manifest: Manifest) -> tuple[bool, ...]:
    """Which features of a packed input belong to constant fields, in order."""
    return tuple(field.constant for field, _ in packed_components(manifest.inputs, manifest.grid.axes))
