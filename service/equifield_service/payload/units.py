"""Units of a file against those of a model: equal, converted where that is linear, or refused."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import cf_units
import numpy as np

from equifield.package.manifest import FieldSpec

from ..domain.errors import InvalidQuery, UnitsMismatch
from .describing import clean, listing, text
from .fields import Found
from .reading import File

MAX_LENGTH = 80
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Conversion:
    """From the units of a file to those of a model: `value * factor + offset`."""

    factor: float
    offset: float


def conversions(file: File, found: list[Found], asked: Mapping[str, str]) -> tuple[dict[str, Conversion], list[str]]:
    """What to do to the values of each variable that is not in the units of the model, and notes for the history.

    Args:
        file: The open file.
        found: The fields in it.
        asked: What the request says that the units of some variables are.

    Raises:
        UnitsMismatch: The units of a variable cannot be converted.
        InvalidQuery: The request names no unit, or a variable that is not read.
    """
    fields = {name: place.field for place in found for name in place.variables.values()}
    strangers = [name for name in asked if name not in fields]
    if strangers:
        raise InvalidQuery(
            f"`units` names {listing(strangers)}, which are not read as fields of the model; these are "
            f"{listing(fields)}."
        )
    changes, notes = {}, []
    for name, field in fields.items():
        change, note = _conversion(name, text(file.variables[name].attrs, "units"), asked.get(name), field)
        if change is not None:
            changes[name] = change
        if note is not None:
            notes.append(note)
    return changes, notes


def _conversion(name: str, sent: str, asked: str | None, field: FieldSpec) -> tuple[Conversion | None, str | None]:
    units, wanted = (sent if asked is None else asked).strip(), field.units
    if asked is not None and units != wanted and _parsed(units) is None:
        raise InvalidQuery(f"`units={clean(name)}:{clean(asked)}`: that is no unit. Example: `units=T:K`.")
    if not units or wanted is None:
        return None, None
    said = f"'{clean(name)}' read as {clean(units)}, not {clean(sent)}" if asked is not None and asked != sent else None
    found = None if units == wanted else _between(units, wanted)
    if units != wanted and (found is None or (found.offset and (field.order, field.parity) != (0, 0))):
        raise UnitsMismatch(
            f"Variable '{clean(name)}' has the units '{clean(units)}', which {_reason(units)} to those of field "
            f"'{field.name}' of the model, '{wanted}'. Convert it; or, if its attribute is wrong, say what its values "
            f"are: units={clean(name)}:{wanted}.",
            found=clean(units),
            wanted=wanted,
        )
    if found is None or found == Conversion(1.0, 0.0):
        return None, said
    note = f"'{clean(name)}' converted from {clean(units)} to {wanted}"
    return found, note if said is None else f"{said}; {note}"


def _reason(units: str) -> str:
    if units == "C":
        return "are coulombs and cannot be converted (degrees Celsius are 'degC')"
    return "are not known and cannot be converted" if _parsed(units) is None else "cannot be converted linearly"


@functools.lru_cache(maxsize=256)
def _parsed(units: str) -> cf_units.Unit | None:
    if len(units) > MAX_LENGTH or not units.isprintable():
        return None
    try:
        with cf_units.suppress_errors():
            return cf_units.Unit(units)
    except ValueError:
        return None


@functools.lru_cache(maxsize=256)
def _between(sent: str, wanted: str) -> Conversion | None:
    """The linear conversion; None if there is none."""
    ours, theirs = _parsed(wanted), _parsed(sent)
    if ours is None or theirs is None or not theirs.is_convertible(ours):
        return None
    with cf_units.suppress_errors():
        zero, one, many = (float(value) for value in theirs.convert(np.array([0.0, 1.0, 1000.0]), ours))
    if not np.isfinite([zero, one, many]).all():
        return None
    factor = (many - zero) / 1000.0
    linear = abs(one - zero - factor) <= TOLERANCE * max(abs(factor), abs(zero)) and factor != 0
    return Conversion(factor, zero) if linear else None


def seconds_in(unit: str) -> float | None:
    """How many seconds a unit of time has; None if it is none."""
    found = _between(unit, "s")
    return None if found is None or found.offset else found.factor


def step_factor(sent: str, wanted: str) -> float:
    """By what steps along one axis are multiplied to compare them with those along another; 1 where nobody knows."""
    found = _between(sent, wanted) if sent and wanted and sent != wanted else None
    return 1.0 if found is None else abs(found.factor)
