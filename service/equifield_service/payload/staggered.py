"""Averages components on the faces of cells to the places that all fields have in common, on request."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import xarray as xr

from equifield.conventions.axes import EAST, NORTH

from ..domain.errors import StaggeredGrid
from .describing import listing, text
from .fields import Found
from .reading import PACKING, RANGES, File, decoded

ABOUT_FACES = {"bounds", "cell_measures"}

Pair = tuple[str, int, str, int]


def centred(file: File, found: list[Found]) -> tuple[File, list[Found]]:
    """The file with all fields on the same dimensions, and the fields with their directions named by these.

    Where two fields differ by one point along a dimension, the one with more lies half a step off the other, and is
    averaged: components on all faces of the cells (WRF) come to the cell centres, and with components on the inner
    faces alone (ROMS) everything comes to the corners between the cells, which are the centres that all have in
    common. Longitudes and latitudes in two dimensions follow. Files without any come back as they are.

    Raises:
        StaggeredGrid: The components differ in another way.
    """
    names = [name for place in found for name in place.variables.values()]
    pairs = {pair for name in names for other in names for pair in _pairs(file.variables[name], file.variables[other])}
    centre_of = {a: b for a, m, b, n in sorted(pairs) if m == n + 1}
    _check_pairs(pairs, centre_of)
    if not centre_of:
        return file, found
    places = [name for name in _places(file, names) if set(file.variables[name].dims) & set(centre_of)]
    changed = {name: _averaged(file, name, centre_of) for name in [*names, *places]}
    dims = {dim for variable in changed.values() for dim in variable.dims}
    variables = {**file.variables, **changed}
    for variable in changed.values():
        _unlink(variables, variable, dims)
    return replace(file, variables=variables), [_renamed(place, centre_of) for place in found]


def _pairs(variable: xr.Variable, other: xr.Variable) -> set[Pair]:
    """The dimensions that only one of two variables has, side by side, with their sizes."""
    own = [(str(dim), size) for dim, size in variable.sizes.items() if dim not in other.dims]
    others = [(str(dim), size) for dim, size in other.sizes.items() if dim not in variable.dims]
    if len(own) != len(others):
        return set()
    return {(a, m, b, n) for (a, m), (b, n) in zip(own, others, strict=True)}


def _check_pairs(pairs: set[Pair], centre_of: Mapping[str, str]) -> None:
    wrong = sorted((a, m, b, n) for a, m, b, n in pairs if m >= n and centre_of.get(a, a) != centre_of.get(b, b))
    if wrong:
        shown = listing(f"{a}={m} for {b}={n}" for a, m, b, n in wrong)
        raise StaggeredGrid(
            f"The grid is staggered, but not by one point: the fields have the dimensions {shown}. stagger=center "
            f"takes components on the faces of cells: on all of them, one more than there are cells, or on the inner "
            f"ones alone, one fewer. Interpolate all fields to the same places before sending."
        )


def _places(file: File, names: list[str]) -> list[str]:
    """The longitudes and latitudes in more than one dimension that some fields link to."""
    linked = {word for name in names for word in text(file.variables[name].attrs, "coordinates").split()}
    known = [name for name in sorted(linked) if name in file.variables and file.variables[name].ndim > 1]
    return [name for name in known if text(file.variables[name].attrs, "units") in EAST + NORTH]


def _averaged(file: File, name: str, centre_of: Mapping[str, str]) -> xr.Variable:
    variable = file.variables[name]
    faces = [str(dim) for dim in variable.dims if dim in centre_of]
    if not faces:
        return variable
    around = text(variable.attrs, "units") in EAST
    values = decoded(file, name).astype(np.float64)
    for dim in faces:
        low, high = values.isel({dim: slice(None, -1)}), values.isel({dim: slice(1, None)})
        step = high - low
        values = low + ((step + 180) % 360 - 180 if around else step) / 2
    kept = {key: value for key, value in variable.attrs.items() if key not in PACKING | RANGES | ABOUT_FACES}
    return xr.Variable([centre_of.get(str(dim), str(dim)) for dim in values.dims], values.values, kept)


def _unlink(variables: Mapping[str, xr.Variable], variable: xr.Variable, dims: Iterable[object]) -> None:
    """Forgets the other auxiliary coordinates of cell faces."""
    linked = variable.attrs.get("coordinates")
    if isinstance(linked, str):
        fitting = [word for word in linked.split() if word in variables and set(variables[word].dims) <= set(dims)]
        variable.attrs["coordinates"] = " ".join(fitting)


def _renamed(place: Found, centre_of: Mapping[str, str]) -> Found:
    variables = {tuple(centre_of.get(dim, dim) for dim in key): name for key, name in place.variables.items()}
    return replace(place, variables=variables)
