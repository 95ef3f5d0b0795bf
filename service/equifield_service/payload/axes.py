"""Finds the dimension of each spatial axis and its direction, and whether the model takes such a grid."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from equifield.conventions.axes import EAST, NORTH, STANDARD_NAMES, UNITS
from equifield.package.manifest import GridSpec, Manifest

from ..domain.errors import (
    AxisAmbiguous,
    AxisMissing,
    EmptyDimension,
    GridUnsupported,
    InvalidQuery,
    SpacingNotUniform,
    StaggeredGrid,
)
from .coordinates import coordinates_of
from .describing import clean, listing, text
from .fields import Found
from .reading import File
from .spacing import Line, check_direction, check_spacing, line_of


@dataclass(frozen=True)
class Axis:
    """One spatial axis of the model, found in a file; `periodic` where its longitudes go all around the globe."""

    name: str
    dimension: str
    size: int
    decreasing: bool
    periodic: bool


def find_axes(file: File, manifest: Manifest, found: list[Found], asked: Mapping[str, str]) -> list[Axis]:
    """The axes of the model, in its order.

    Raises:
        StaggeredGrid: The components live on different dimensions.
        AxisMissing, AxisAmbiguous: No or more than one dimension for an axis.
        EmptyDimension, GridUnsupported, SpacingNotUniform: The model cannot take this grid.
        InvalidQuery: `axes` names nothing of the model.
    """
    strangers = [axis for axis in asked if axis not in manifest.grid.axes]
    if strangers:
        raise InvalidQuery(
            f"`axes` names {listing(strangers)}, but the axes of model '{manifest.name}' are "
            f"{listing(manifest.grid.axes)}."
        )
    _check_same_grid(file, found)
    dims = {str(dim): size for place in found for dim, size in _grid_dims(file, place).items()}
    empty = [dim for dim, size in dims.items() if size == 0]
    if empty:
        raise EmptyDimension(f"Dimension {listing(empty)} has length 0. Send a file with at least one value along it.")
    coordinates = {dim: _coordinate(file, found, dim) for dim in dims}
    chosen = {axis: _dimension(axis, coordinates, file, asked) for axis in manifest.grid.axes}
    if len(set(chosen.values())) < len(chosen):
        raise AxisAmbiguous(
            f"The axes {listing(chosen)} were all found in {listing(set(chosen.values()))}. "
            f"{_way_out(manifest.grid.axes)}"
        )
    _check_complete(file, found, chosen)
    _check_sizes(manifest.grid, chosen, dims)
    lines = {axis: line_of(file, dim, coordinates[dim]) for axis, dim in chosen.items()}
    for line in lines.values():
        check_direction(line)
    if manifest.grid.spacing == "uniform":
        _check_rectilinear(file, found, lines)
        check_spacing(lines)
    return [
        Axis(axis, line.dimension, line.size, line.decreasing, axis == "x" and _global(file, line))
        for axis, line in lines.items()
    ]


def _global(file: File, line: Line) -> bool:
    if line.coordinate is None or text(file.variables[line.coordinate].attrs, "units") not in EAST:
        return False
    return line.covers(360.0)


def _check_rectilinear(file: File, found: list[Found], lines: Mapping[str, Line]) -> None:
    """Refuses a grid whose places are given by two-dimensional longitudes and latitudes alone."""
    bare = {line.dimension for line in lines.values() if line.coordinate is None}
    fields = [name for place in found for name in place.variables.values()]
    for name in coordinates_of(file.variables, fields):
        variable = file.variables[name]
        located = text(variable.attrs, "units") in EAST + NORTH
        if located and variable.ndim > 1 and bare & set(variable.dims):
            raise SpacingNotUniform(
                f"The grid is curvilinear: '{clean(name)}' has the dimensions {listing(variable.dims)}, and "
                f"{listing(sorted(bare))} have no coordinate of their own. The model's symmetry needs equal steps. "
                f"Interpolate to a grid of equal spacing."
            )


def _grid_dims(file: File, place: Found) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name in place.variables.values():
        variable = file.variables[name]
        sizes |= {str(dim): size for dim, size in variable.sizes.items() if dim not in place.component_dims}
    return sizes


def _check_same_grid(file: File, found: list[Found]) -> None:
    """Two components each with a dimension that the other lacks are values at different places."""
    variables = [
        (name, set(file.variables[name].dims) - set(place.component_dims))
        for place in found
        for name in place.variables.values()
    ]
    for name, dims in variables:
        for other, other_dims in variables:
            if dims - other_dims and other_dims - dims:
                raise StaggeredGrid(
                    f"The grid is staggered: '{clean(name)}' lies on {listing(sorted(map(str, dims)))}, but "
                    f"'{clean(other)}' on {listing(sorted(map(str, other_dims)))}. "
                    f"Interpolate all components to the cell centres, or let them be averaged: stagger=center."
                )


def _coordinate(file: File, found: list[Found], dim: str) -> str | None:
    """The one-dimensional coordinate of a dimension: the variable of its name, else the one linked."""
    variables = file.variables
    if dim in variables and variables[dim].dims == (dim,):
        return dim
    linked = {
        name
        for place in found
        for key in place.variables.values()
        for name in text(variables[key].attrs, "coordinates").split()
        if name in variables and variables[name].dims == (dim,)
    }
    return linked.pop() if len(linked) == 1 else None


def _dimension(axis: str, coordinates: Mapping[str, str | None], file: File, asked: Mapping[str, str]) -> str:
    """Applies the rules one after another; the first that fits a dimension decides."""
    if axis in asked:
        matches = [dim for dim, coordinate in coordinates.items() if asked[axis] in (dim, coordinate)]
        if not matches:
            raise AxisMissing(
                f"`axes={axis}:{clean(asked[axis])}` names no dimension of the fields. They have "
                f"{listing(coordinates)}."
            )
        return matches[0]

    for reason, fits in _rules(axis, coordinates, file).items():
        matches = [dim for dim in coordinates if fits(dim)]
        if len(matches) > 1:
            raise AxisAmbiguous(
                f"Axis '{axis}' could be any of {listing(matches)}: each has {reason}. {_way_out(axis)}"
            )
        if matches:
            return matches[0]
    raise AxisMissing(
        f"No dimension of the fields is axis '{axis}': {listing(coordinates)} have no axis attribute, units or "
        f"standard_name that say so, and none is named '{axis}'. {_way_out(axis)}"
    )


def _rules(axis: str, coordinates: Mapping[str, str | None], file: File) -> dict[str, Callable[[str], bool]]:
    """Each way in which a dimension can be seen to be an axis, strongest first."""

    def attribute(name: str, dim: str) -> str:
        coordinate = coordinates[dim]
        return "" if coordinate is None else text(file.variables[coordinate].attrs, name)

    letter, units, names = axis.upper(), UNITS.get(axis, ()), STANDARD_NAMES.get(axis, ())
    return {
        f"axis='{letter}'": lambda dim: attribute("axis", dim) == letter,
        f"units of {' or '.join(units[:1])}": lambda dim: attribute("units", dim) in units,
        "a standard_name of that axis": lambda dim: attribute("standard_name", dim) in names,
        f"the name '{axis}'": lambda dim: dim.lower() == axis.lower(),
    }


def _way_out(axes: Iterable[str]) -> str:
    return f"Say which: axes={','.join(f'{axis}:NAME_OF_DIMENSION' for axis in axes)}."


def _check_complete(file: File, found: list[Found], chosen: Mapping[str, str]) -> None:
    for place in found:
        for name in place.variables.values():
            missing = [dim for dim in chosen.values() if dim not in file.variables[name].dims]
            if missing:
                raise AxisMissing(
                    f"Variable '{clean(name)}' does not vary along {listing(missing)}. "
                    f"Every field must be given on the whole grid."
                )


def _check_sizes(grid: GridSpec, chosen: Mapping[str, str], dims: Mapping[str, int]) -> None:
    least = -(-grid.minimum // grid.multiple) * grid.multiple
    wrong = {axis: dims[dim] for axis, dim in chosen.items() if dims[dim] % grid.multiple or dims[dim] < grid.minimum}
    if not wrong:
        return
    nearest = {
        axis: sorted(
            {
                max(size // grid.multiple * grid.multiple, least),
                max(-(-size // grid.multiple) * grid.multiple, least),
            }
        )
        for axis, size in wrong.items()
    }
    found = ", ".join(f"{size} along {axis} ('{clean(chosen[axis])}')" for axis, size in wrong.items())
    advice = ", ".join(f"{' or '.join(map(str, sizes))} along {axis}" for axis, sizes in nearest.items())
    raise GridUnsupported(
        f"The grid has {found}; the model takes multiples of {grid.multiple} from {least} on. Nearest: {advice}.",
        nearest=nearest,
    )
