"""The equivariance report: how far a function is from commuting with a group, measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from .groups import Group
from .multi_image import MultiImage
from .ops import act, channel_norms, field_labels, translate

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""The relative error that rounding may leave, by the precision in which the function runs."""

FieldFunction = Callable[[MultiImage], MultiImage]
Transformation = tuple[str, FieldFunction, FieldFunction]
"""Its name, what applies it to an input, and what undoes it on an output."""


@dataclass(frozen=True, eq=False)
class EquivarianceReport:
    """Relative errors ||g^-1 f(g x) - f(x)|| / ||f(x)||, one row per transformation and one column per output field.

    A field that vanishes, as the wind does when the input is symmetric, leaves only rounding errors to compare with
    each other. So the denominator of a field is at least the root mean square of all fields' norms.
    `residual` is g^-1 f(g x) - f(x) of the worst row, packed, on the grid of f(x).
    """

    group: str
    grid: tuple[int, ...]
    dtype: str
    tolerance: float
    transformations: tuple[str, ...]
    fields: tuple[str, ...]
    errors: Float[np.ndarray, "transformations fields"]
    residual: Float[Array, "*batch_grid features"]
    caveats: tuple[str, ...]

    @property
    def worst(self) -> tuple[str, str, float]:
        """The transformation and the field with the largest error, and that error."""
        row, column = np.unravel_index(int(np.argmax(self.errors)), self.errors.shape)
        return self.transformations[row], self.fields[column], float(self.errors[row, column])

    @property
    def passed(self) -> bool:
        """Whether every error is a number within the tolerance."""
        return bool((self.errors <= self.tolerance).all())

    def to_dict(self, fields: Sequence[str] | None = None) -> dict[str, Any]:
        """The report as JSON; `fields` gives the output fields better names, in packed order."""
        names = tuple(fields) if fields is not None else self.fields
        renamed = dict(zip(self.fields, names, strict=True))
        element, field, error = self.worst
        return {
            "group": self.group,
            "grid": list(self.grid),
            "dtype": self.dtype,
            "tolerance": self.tolerance,
            "passed": self.passed,
            "worst": {"element": element, "field": renamed[field], "error": _finite(error)},
            "rows": [
                {"element": transformation, "field": name, "error": _finite(error)}
                for transformation, row in zip(self.transformations, self.errors, strict=True)
                for name, error in zip(names, row.tolist(), strict=True)
            ],
            "caveats": list(self.caveats),
        }


def equivariance_report(
    function: FieldFunction,
    image: MultiImage,
    group: Group,
    *,
    translation_step: int = 1,
    tolerance: float | None = None,
) -> EquivarianceReport:
    """Measures whether `function` commutes with every element of `group`, and with translations.

    **Arguments:**

    - function: any function from images to images; nothing else about it is known. The grid may become a
      whole number of times finer. Its output fields are compared in size, so they should be normalised, without a
      large constant offset.
    - image: where to measure. Along its periodic axes translations are measured too.
    - translation_step: translations by multiples of this many pixels are expected to commute.
    - tolerance: the largest relative error that passes; by default what rounding leaves in float32 or float64.

    **Raises:** `ValueError` when the group acts on another number of axes, and for another precision without a
    tolerance.
    """
    if group.dimension != image.ndim:
        raise ValueError(f"{group} acts on {group.dimension} axes, but the image has {image.ndim}.")
    dtype = str(image.array.dtype)
    if tolerance is None and dtype not in TOLERANCE:
        raise ValueError(f"There is no usual tolerance for {dtype}: say which relative error passes, `tolerance=...`.")
    reference = function(image)
    sizes = channel_norms(reference)
    sizes = np.maximum(sizes, np.sqrt(np.mean(np.square(sizes))))
    rows: dict[str, Float[np.ndarray, " fields"]] = {}
    worst, residual = -1.0, reference.array
    for name, apply, undo in _transformations(image, group, translation_step):
        difference = undo(function(apply(image))) - reference
        rows[name] = _relative(channel_norms(difference), sizes)
        largest = float(np.max(np.where(np.isnan(rows[name]), np.inf, rows[name])))
        if largest > worst:
            worst, residual = largest, difference.array
    return EquivarianceReport(
        group=str(group),
        grid=image.grid,
        dtype=dtype,
        tolerance=TOLERANCE[dtype] if tolerance is None else tolerance,
        transformations=tuple(rows),
        fields=tuple(field_labels(reference.field_type)),
        errors=np.stack(list(rows.values())),
        residual=residual,
        caveats=_caveats(image, translation_step),
    )


def _transformations(image: MultiImage, group: Group, step: int) -> list[Transformation]:
    listed: list[Transformation] = []
    for g in group:
        listed.append((str(g), lambda x, g=g: act(g, x), lambda x, g=g: act(g.inverse(), x)))  # type: ignore[misc]
    for axis, (side, kind) in enumerate(zip(image.grid, image.boundary, strict=True)):
        if kind == "periodic" and side > step:
            listed.append(_translation(image, axis, step))
    return listed


def _translation(image: MultiImage, axis: int, step: int) -> Transformation:
    shift = tuple(step if a == axis else 0 for a in range(image.ndim))

    def undo(output: MultiImage) -> MultiImage:
        finer = output.grid[axis] // image.grid[axis]
        return translate(output, tuple(-finer * pixels for pixels in shift))

    return f"translation {shift}", lambda x: translate(x, shift), undo


def _relative(
    difference: Float[np.ndarray, " fields"], size: Float[np.ndarray, " fields"]
) -> Float[np.ndarray, " fields"]:
    """The error of each field relative to its size; where all fields are zero, they must stay so."""
    return np.where(difference == 0, 0.0, difference / np.maximum(size, np.finfo(np.float64).tiny))


def _finite(error: float) -> float | None:
    return error if np.isfinite(error) else None


def _caveats(image: MultiImage, step: int) -> tuple[str, ...]:
    caveats = []
    bounded = [str(axis) for axis, kind in enumerate(image.boundary) if kind != "periodic"]
    if bounded:
        caveats.append(f"translations along grid axes {', '.join(bounded)} are not measured: not periodic")
    short = [str(axis) for axis, side in enumerate(image.grid) if image.boundary[axis] == "periodic" and side <= step]
    if short:
        caveats.append(f"translations along grid axes {', '.join(short)} are not measured: no longer than one step")
    if step > 1:
        caveats.append(f"translations commute in steps of {step} pixels")
    return tuple(caveats)
