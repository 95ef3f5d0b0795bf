"""Coordinates along the axes of a grid: direction, and equal steps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equifield.conventions.units import step_factor

from ..domain.errors import SpacingNotUniform
from .describing import clean, text
from .reading import File, decoded

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Line:
    """The points along one axis.

    Attributes:
        dimension: Of the file.
        size: How many points.
        coordinate: The variable that says where they are; None for plain indices.
        values: Where they are; None for plain indices.
        units: Of the values; empty where nobody says.
    """

    dimension: str
    size: int
    coordinate: str | None
    values: npt.NDArray[np.float64] | None
    units: str = ""

    @property
    def steps(self) -> npt.NDArray[np.float64] | None:
        """From each point to the next; None where there are none, or they are not known."""
        return None if self.values is None or self.size < 2 else np.diff(self.values)

    @property
    def decreasing(self) -> bool:
        """Whether the last point comes before the first."""
        return self.values is not None and self.size > 1 and bool(self.values[-1] < self.values[0])

    def covers(self, circle: float) -> bool:
        """Whether one more step after the last point would lead to the first one again."""
        steps = self.steps
        return steps is not None and abs(abs(float(steps.mean())) * self.size - circle) <= TOLERANCE * circle


def line_of(file: File, dimension: str, coordinate: str | None) -> Line:
    """The points along a dimension whose coordinate, if it has one, is a variable of the file."""
    if coordinate is None:
        sizes = {dim: size for variable in file.variables.values() for dim, size in variable.sizes.items()}
        return Line(dimension, sizes[dimension], None, None)
    values = decoded(file, coordinate).values.astype(np.float64)
    return Line(dimension, values.size, coordinate, values, text(file.variables[coordinate].attrs, "units"))


def check_direction(line: Line) -> None:
    """Refuses a coordinate that turns back, stops or has no end.

    Raises:
        SpacingNotUniform: It does.
    """
    steps = line.steps
    if steps is not None and not (np.isfinite(steps).all() and (np.all(steps > 0) or np.all(steps < 0))):
        raise SpacingNotUniform(
            f"Coordinate '{clean(line.dimension)}' neither increases nor decreases throughout. Sort the file along it, "
            f"and fill its missing and infinite values."
        )


def check_spacing(lines: Mapping[str, Line]) -> None:
    """Refuses steps that differ along an axis, or between the axes.

    Raises:
        SpacingNotUniform: They do.
    """
    found: dict[str, float] = {}
    first = ""
    for line in lines.values():
        if line.steps is None:
            continue  # plain indices
        steps = np.abs(line.steps)
        mean = float(steps.mean())
        if steps.max() - steps.min() > 2 * TOLERANCE * mean:
            raise SpacingNotUniform(
                f"Coordinate '{clean(line.dimension)}' has steps from {steps.min():g} to {steps.max():g}; the model's "
                f"symmetry needs equal steps ({TOLERANCE:g} relative). Interpolate to an equally spaced grid."
            )
        first = first or line.units
        found[line.dimension] = mean * step_factor(line.units, first)
    if found and max(found.values()) - min(found.values()) > TOLERANCE * max(found.values()):
        shown = ", ".join(f"{step:g} along '{clean(dimension)}'" for dimension, step in found.items())
        raise SpacingNotUniform(
            f"The spacing differs between the axes: {shown}. A rotation by 90 degrees maps the grid onto itself only "
            f"when it is the same. Interpolate to a grid of equal spacing."
        )
