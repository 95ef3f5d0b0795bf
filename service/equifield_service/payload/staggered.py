"""Averages components on cell faces to the cell centres, on request."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import xarray as xr

from ..domain.errors import StaggeredGrid
from .describing import listing
from .fields import Found
from .reading import PACKING, File, decoded

VALID = {"valid_range", "valid_min", "valid_max"}


def centred(file: File, found: list[Found]) -> tuple[File, list[Found]]:
    """The file with all fields on the same dimensions, and the fields with their directions named by these.

    A variable lies on cell faces where, in place of a dimension of another one, it has a dimension with one
    point more. Files without any come back as they are.

    Raises:
        StaggeredGrid: The components differ in another way.
    """
    names = [name for place in found for name in place.variables.values()]
    centre_of: dict[str, str] = {}
    for name in names:
        for other in names:
            centre_of |= _faces(file.variables[name], file.variables[other])
    if not centre_of:
        return file, found
    changed = {name: _averaged(file, name, centre_of) for name in names}
    dims = {dim for variable in changed.values() for dim in variable.dims}
    for variable in changed.values():
        _unlink(file, variable, dims)
    return replace(file, variables={**file.variables, **changed}), [_renamed(place, centre_of) for place in found]


def _faces(variable: xr.Variable, other: xr.Variable) -> dict[str, str]:
    """The dimensions of cell faces of a variable, each with that of the cell centres, which the other one has."""
    own = [(str(dim), size) for dim, size in variable.sizes.items() if dim not in other.dims]
    others = [(str(dim), size) for dim, size in other.sizes.items() if dim not in variable.dims]
    if len(own) != len(others):
        return {}
    different = {(a, m, b, n) for (a, m), (b, n) in zip(own, others, strict=True)}
    if any(abs(m - n) != 1 for _, m, _, n in different):
        shown = listing(f"{a}={m} for {b}={n}" for a, m, b, n in sorted(different))
        raise StaggeredGrid(
            f"The grid is staggered, but not by one point: the components have the dimensions {shown}. "
            f"stagger=center takes components on cell faces, with one point more than there are cells. Interpolate "
            f"all components to the cell centres before sending."
        )
    return {a: b for a, m, b, n in different if m == n + 1}


def _averaged(file: File, name: str, centre_of: dict[str, str]) -> xr.Variable:
    variable = file.variables[name]
    faces = [str(dim) for dim in variable.dims if dim in centre_of]
    if not faces:
        return variable
    values = decoded(file, name).astype(np.float64)
    for dim in faces:
        low, high = values.isel({dim: slice(None, -1)}), values.isel({dim: slice(1, None)})
        values = (low + high) / 2
    kept = {key: value for key, value in variable.attrs.items() if key not in PACKING | VALID}
    dims = [centre_of.get(str(dim), str(dim)) for dim in values.dims]
    return xr.Variable(dims, values.values, kept)


def _unlink(file: File, variable: xr.Variable, dims: Iterable[object]) -> None:
    """Forgets the auxiliary coordinates of cell faces."""
    linked = variable.attrs.get("coordinates")
    if isinstance(linked, str):
        fitting = [word for word in linked.split() if word in file.variables]
        fitting = [word for word in fitting if set(file.variables[word].dims) <= set(dims)]
        variable.attrs["coordinates"] = " ".join(fitting)


def _renamed(place: Found, centre_of: dict[str, str]) -> Found:
    variables = {tuple(centre_of.get(dim, dim) for dim in key): name for key, name in place.variables.items()}
    return replace(place, variables=variables)
