"""Units of a file against those of a field, as UDUNITS knows them: converted where that is linear."""

import functools
from dataclasses import dataclass
from typing import Any

import cf_units
import numpy as np
from jaxtyping import Shaped

from ..package.manifest import FieldSpec

MAX_LENGTH = 80
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Conversion:
    """From some units to others: `value * factor + offset`."""

    factor: float = 1.0
    offset: float = 0.0

    def __call__(self, values: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
        """The values in the other units; the same array where these are no others."""
        return values if self == UNCHANGED else np.asarray(values * self.factor + self.offset)


UNCHANGED = Conversion()
"""Where both units are the same, or one of them is not known."""


def to_field(units: str, field: FieldSpec) -> Conversion | None:
    """The conversion of values to the units of a field; None if there is none.

    Only true scalars may be shifted: an offset would give every component of a vector or tensor the same constant,
    which picks out a direction.
    """
    wanted = field.units
    if not units or wanted is None or units == wanted:
        return UNCHANGED
    found = linear_conversion(units, wanted)
    shifted = found is not None and found.offset != 0 and (field.order, field.parity) != (0, 0)
    return None if shifted else found


def reason(units: str) -> str:
    """Why `to_field` finds no conversion of these units: the verb and object of a sentence about them."""
    if units == "C":
        return "are coulombs and cannot be converted (degrees Celsius are 'degC')"
    return "cannot be converted linearly" if is_unit(units) else "are not known and cannot be converted"


def is_unit(text: str) -> bool:
    """Whether UDUNITS knows these units."""
    return _parsed(text) is not None


@functools.lru_cache(maxsize=256)
def linear_conversion(sent: str, wanted: str) -> Conversion | None:
    """The conversion from some units to others; None if there is none, or it is not linear."""
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


def step_factor(sent: str, wanted: str) -> float:
    """By what steps in some units are multiplied to compare them with those in others; 1 where nobody knows."""
    found = linear_conversion(sent, wanted) if sent and wanted and sent != wanted else None
    return 1.0 if found is None else abs(found.factor)


@functools.lru_cache(maxsize=256)
def _parsed(units: str) -> Any:
    """The `cf_units.Unit`, which has no types; None if there is none."""
    if len(units) > MAX_LENGTH or not units.isprintable():
        return None
    try:
        with cf_units.suppress_errors():
            return cf_units.Unit(units)
    except ValueError:
        return None
