"""Units of a file against those of a model: equal, converted where that is linear, or refused."""

from collections.abc import Mapping

from equifield.conventions.units import UNCHANGED, Conversion, is_unit, linear_conversion, reason, to_field
from equifield.package.manifest import FieldSpec

from ..domain.errors import InvalidQuery, UnitsMismatch
from .describing import clean, listing, text
from .fields import Found
from .reading import File


def conversions(file: File, found: list[Found], asked: Mapping[str, str]) -> tuple[dict[str, Conversion], list[str]]:
    """What to do to the values of each variable, for the units of the model, and notes for the history.

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
        changes[name] = change
        if note is not None:
            notes.append(note)
    return changes, notes


def _conversion(name: str, sent: str, asked: str | None, field: FieldSpec) -> tuple[Conversion, str | None]:
    units, wanted = (sent if asked is None else asked).strip(), field.units
    if asked is not None and units != wanted and not is_unit(units):
        raise InvalidQuery(f"`units={clean(name)}:{clean(asked)}`: that is no unit. Example: `units=T:K`.")
    if not units or wanted is None:
        return UNCHANGED, None
    found = to_field(units, field)
    if found is None:
        raise UnitsMismatch(
            f"Variable '{clean(name)}' has the units '{clean(units)}', which {reason(units)} to those of field "
            f"'{field.name}' of the model, '{wanted}'. Convert it; or, if its attribute is wrong, say what its values "
            f"are: units={clean(name)}:{wanted}.",
            found=clean(units),
            wanted=wanted,
        )
    said = f"'{clean(name)}' read as {clean(units)}, not {clean(sent)}" if asked is not None and asked != sent else None
    if found == UNCHANGED:
        return found, said
    note = f"'{clean(name)}' converted from {clean(units)} to {wanted}"
    return found, note if said is None else f"{said}; {note}"


def seconds_in(unit: str) -> float | None:
    """How many seconds a unit of time has; None if it is none."""
    found = linear_conversion(unit, "s")
    return None if found is None or found.offset else found.factor
