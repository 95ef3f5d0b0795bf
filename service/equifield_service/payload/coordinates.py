"""Which variables of a file are coordinates of its fields, and go back with the answer."""

from collections.abc import Collection, Iterable, Mapping

import xarray as xr

from .describing import text

LINKS = ("coordinates", "grid_mapping", "bounds", "climatology", "cell_measures", "formula_terms")
"""CF attributes that name other variables."""


def coordinates_of(variables: Mapping[str, xr.Variable], fields: Iterable[str]) -> list[str]:
    """The coordinates of some fields: their dimensions', those they link to, and what these link to."""
    pending = list(fields)
    known, kept = set(pending), []
    while pending:
        variable = variables[pending.pop()]
        for name in [*map(str, variable.dims), *_linked(variable)]:
            if name in variables and name not in known and name not in kept:
                kept.append(name)
                pending.append(name)
    return kept


def _linked(variable: xr.Variable) -> list[str]:
    return [word.rstrip(":") for link in LINKS for word in text(variable.attrs, link).split()]


def repeated_attributes(fields: Iterable[xr.Variable], kept: Collection[str]) -> dict[str, str]:
    """The attributes of the input fields that hold for every output too.

    Auxiliary coordinates of all of them; the grid mapping of the first that has one; `cell_methods` where all
    agree. Names that are not given back are left out. Everything else is about the input's own values.
    """
    found = list(fields)
    coordinates = [word for field in found for word in text(field.attrs, "coordinates").split() if word in kept]
    mappings = [_kept(text(field.attrs, "grid_mapping"), kept) for field in found]
    methods = {text(field.attrs, "cell_methods") for field in found}
    repeated = {
        "coordinates": " ".join(dict.fromkeys(coordinates)),
        "grid_mapping": next(filter(None, mappings), ""),
        "cell_methods": methods.pop() if len(methods) == 1 else "",
    }
    return {name: value for name, value in repeated.items() if value}


def _kept(link: str, kept: Collection[str]) -> str:
    return " ".join(word for word in link.split() if word.rstrip(":") in kept)
