"""What a card says about the data: which fields, from which files, how much of them for what."""

from collections.abc import Sequence
from typing import get_args

from ...package import FieldSpec
from ..data import Excerpt, NetCDFSeries, Pairs, Series
from .recipe import Recipe
from .sources import Files, Part, Role, span


def described(recipe: Recipe) -> str:
    """Markdown: the physics of a simulation, or files, fields and the split of what was read.

    **Raises:** `FileNotFoundError` where files of the recipe are gone, and what the readers of `train.data` raise.
    """
    paragraphs = _files(recipe, recipe.data) if isinstance(recipe.data, Files) else [recipe.data.describe()]
    if (cells := recipe.grid.refinement) > 1:
        paragraphs.append(f"The inputs are their means over cells of {cells} pixels along each axis.")
    return "\n\n".join(paragraphs)


def _files(recipe: Recipe, data: Files) -> list[str]:
    parts = [_part(recipe, data, role) for role in get_args(Role)]
    rows = [[name, *(part[name] for part in parts)] for name in parts[0]]
    told = [row for row in rows if any(row[1:])]
    return [_read(recipe, data), table(["", *get_args(Role)], told), _fields(recipe)]


def _read(recipe: Recipe, data: Files) -> str:
    """How the files are read, in sentences."""
    axes = ", ".join(f"{axis} ({edge})" for axis, edge in zip(recipe.grid.axes, recipe.grid.boundary, strict=True))
    said = [f"{data.kind}, named from the folder in which the model was trained. The axes are {axes}"]
    said += ["their points may have any spacing"] if recipe.grid.spacing == "any" else []
    if data.source == "netcdf":
        said += [f"`{name}` is axis {axis}" for axis, name in data.axes.items()]
        said += [f"`{data.time}` counts the states of a trajectory"]
        said += [f"`{data.trajectory}` counts trajectories"] if data.trajectory is not None else []
    if data.pseudo:
        said += [f"{_code(data.pseudo)} change their sign under reflections, which the files do not say"]
    return f"{'; '.join(said)}."


def _part(recipe: Recipe, data: Files, role: Role) -> dict[str, str]:
    """The rows of the table of files, for one role."""
    part: Part = getattr(data, role)
    opened = data.open(role, recipe.inputs, recipe.given, recipe.grid)
    series = opened.inputs if isinstance(opened, Pairs) else opened
    steps = _spacing(series)
    points = (f"{steps[axis]} along {axis}" for axis in recipe.grid.axes if axis in steps)
    return {
        "files": _code(part.files),
        "variables": ", ".join(f"`{name}` is `{found}`" for name, found in part.variables.items()),
        "trajectories": _counted(series.trajectories, part.trajectories),
        "states of each": _counted(series.steps, part.times),
        "from state to state": steps.get("time", ""),
        "grid": " x ".join(map(str, series.grid)),
        "from point to point": ", ".join(points),
    }


def _spacing(series: Series) -> dict[str, str]:
    """Steps in time and along axes, in the units of the files, as far as these tell them."""
    whole = series.series if isinstance(series, Excerpt) else series
    steps = whole.spacing if isinstance(whole, NetCDFSeries) else {}
    return {name: f"{size:.4g} {units}".removesuffix(" 1").strip() for name, (size, units) in steps.items()}


def _counted(count: int, chosen: tuple[int, int] | None) -> str:
    """How many of something there are, and which of those in the files unless they are all."""
    return str(count) if chosen is None else f"{count} ({span(chosen)})"


def _fields(recipe: Recipe) -> str:
    """The fields of the model, as a table."""
    roles: dict[FieldSpec, list[str]] = {}
    for field in recipe.inputs:
        roles.setdefault(field, []).append("constant input" if field.constant else "input")
    for field in recipe.given:
        roles.setdefault(field, []).append("output")
    rows = [_field(field, " and ".join(role)) for field, role in roles.items()]
    return table(["field", "order", "parity", "units", "components", "of the model"], rows)


def _field(field: FieldSpec, role: str) -> list[str]:
    parts = [" along ".join(filter(None, (f"`{part.variable}`", " ".join(part.axes)))) for part in field.components]
    return [field.name, str(field.order), str(field.parity), field.units or "", ", ".join(parts), role]


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, whose cells may hold any text."""
    safe = [[cell.replace("|", r"\|") for cell in line] for line in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in safe)
