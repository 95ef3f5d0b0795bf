"""What the service says about a model and its symmetry, as typed values. The types are the schema."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from ._text import clean, table

T = TypeVar("T")


@dataclass(frozen=True)
class Component:
    """One entry of a tensor: the axes it points along and what it is called in a file."""

    axes: tuple[str, ...]
    variable: str
    standard_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class FieldSpec:
    """A tensor field that a model takes or gives: order, parity (1: a pseudotensor), units, components.

    A `constant` input stays as it is in a rollout. `symmetry` is what an output of order two always has: `symmetric`,
    `antisymmetric`, `traceless`.
    """

    name: str
    order: int
    components: tuple[Component, ...]
    parity: int = 0
    units: str | None = None
    long_name: str | None = None
    mean: float = 0.0
    scale: float = 1.0
    constant: bool = False
    symmetry: tuple[str, ...] = ()


@dataclass(frozen=True)
class GridSpec:
    """The grids that a model takes: `multiple` divides every side, `minimum` is the shortest.

    Its outputs have `refinement` times as many points along each axis.
    """

    axes: tuple[str, ...]
    boundary: tuple[str, ...]
    spacing: str = "uniform"
    multiple: int = 1
    minimum: int = 1
    refinement: int = 1
    warm: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class EquivarianceRow:
    """The error of one output field under one group element, relative to the field; NaN if it was not finite."""

    element: str
    field: str
    error: float


@dataclass(frozen=True)
class EquivarianceReport:
    """How exactly a model's answer rotates when its input does.

    `print(report)` shows one line per group element, one column per field and the verdict.

    Attributes:
        group: The group that was tried, element by element.
        grid: The grid it was tried on.
        dtype: The precision of the computation.
        tolerance: The largest error that passes.
        passed: Whether every error is within the tolerance.
        worst: The row with the largest error.
        rows: One per element and field.
        caveats: What the numbers do not say.
        model: The model that was checked, where the service names it.
        version: Its version.
    """

    group: str
    grid: tuple[int, ...]
    dtype: str
    tolerance: float
    passed: bool
    worst: EquivarianceRow
    rows: tuple[EquivarianceRow, ...]
    caveats: tuple[str, ...] = ()
    model: str | None = None
    version: str | None = None

    def table(self) -> str:
        """One line per group element, one column per field: the relative errors, as text."""
        fields = list(dict.fromkeys(row.field for row in self.rows))
        errors = {(row.element, row.field): f"{row.error:.1e}" for row in self.rows}
        elements = list(dict.fromkeys(row.element for row in self.rows))
        lines = [("element", *fields)]
        lines += [(element, *(errors.get((element, field), "") for field in fields)) for element in elements]
        return table(lines, numbers=True)

    def __str__(self) -> str:
        sides = " x ".join(map(str, self.grid))
        worst = f"{self.worst.error:.1e} ({self.worst.element}, {self.worst.field})"
        verdict = "passed" if self.passed else "FAILED"
        outcome = f"worst {worst}, tolerance {self.tolerance:.1e}"
        notes = [f"note: {caveat}" for caveat in self.caveats]
        said = [f"{verdict}: {self.group} on {sides}, {self.dtype}: {outcome}", *notes]
        return "\n".join([self.table(), *map(clean, said)])


@dataclass(frozen=True)
class ModelInfo:
    """What a model takes and gives, whether it is being served, and the proof of its symmetry.

    Of a model that cannot be read, only name, versions, state and reason are known.

    Attributes:
        state: `"ready"`, `"loading"` or `"failed"`.
        reason: Why the model failed, if it did.
        certificate: The equivariance report from when the model was published.
        digest: The hash of the model package.
        provenance: Where the weights come from.
        translation_step: The law holds for shifts by multiples of this many grid points.
        time_step: The seconds from a state to the one that is predicted from it, where the model says so.
    """

    name: str
    version: str
    state: str
    versions: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    licence: str = ""
    group: str = ""
    dtype: str = ""
    inputs: tuple[FieldSpec, ...] = ()
    outputs: tuple[FieldSpec, ...] = ()
    grid: GridSpec | None = None
    translation_step: int = 1
    time_step: float | None = None
    digest: str = ""
    reason: str | None = None
    certificate: EquivarianceReport | None = None
    provenance: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ModelList:
    """The answer of `GET /v1/models`."""

    models: tuple[ModelInfo, ...]


def parse(kind: type[T], value: object) -> T:
    """Builds a `kind` from JSON by its type hints. Keys it does not know are ignored: services grow.

    Raises:
        ValueError: A key is missing or has another type; the message names it.
    """
    return cast(T, _parse(kind, value, kind.__name__))


def _parse(hint: Any, value: object, where: str) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _parse(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_parse(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if isinstance(value, dict):
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return _parse_fields(hint, value, where)
        if origin is Mapping:
            return {key: _parse(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is Any:
        return value
    if hint is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if hint is float and (value is None or type(value) in (int, float)):
        return math.nan if value is None else float(cast(float, value))  # JSON has no word for NaN but null
    if hint in (str, int, bool) and type(value) is hint:
        return value
    expected = hint.__name__ if isinstance(hint, type) else str(hint)
    raise ValueError(f"`{where}` must be of type {expected}, but is {str(value)[:80]!r}")


def _parse_fields(kind: type[Any], value: dict[str, object], where: str) -> object:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        optional = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        if _key(field) not in value and not optional:
            raise ValueError(f"`{where}` must have the key '{_key(field)}', but has {sorted(value)[:20]}")
    keys = {field.name: _key(field) for field in dataclasses.fields(kind) if _key(field) in value}
    return kind(**{name: _parse(hints[name], value[key], f"{where}.{key}") for name, key in keys.items()})


def _key(field: dataclasses.Field[Any]) -> str:
    """What JSON calls a field, where that is no good name here."""
    return str(field.metadata.get("key", field.name))
