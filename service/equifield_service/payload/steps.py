"""The axis of a rollout: the file's own CF time where it tells when the start was, else a dimension that counts."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from equifield.package.manifest import Manifest

from ..domain.errors import SchemaMismatch
from .describing import text
from .packing import Plan
from .reading import reading
from .shell import Shell
from .units import seconds_in
from .values import Progress

STEP = "step"
"""The dimension that counts steps."""
SINCE = " since "
OTHER_VALUES = ("scale_factor", "add_offset", "_Unsigned")
FILLS = ("_FillValue", "missing_value")
BOUNDS = ("bounds", "climatology")


def steps_axis(variables: Mapping[str, xr.Variable], kept: list[str], plan: Plan, manifest: Manifest) -> str:
    """The dimension along which the states will lie: that of the time, if the model knows how long a step is.

    Raises:
        SchemaMismatch: It is called `step`, which is something else in this file.
    """
    time = None if manifest.time_step is None else _start(variables, kept, plan)
    if time is not None:
        return time
    outputs = {name for field in manifest.outputs for name in (field.name, *(c.variable for c in field.components))}
    if STEP in outputs.union(plan.dimensions, kept, *(variables[name].dims for name in kept)):
        raise SchemaMismatch(
            f"A rollout of this file has a dimension '{STEP}', but the file or the model uses that name for something "
            f"else. Rename it."
        )
    return STEP


def _start(variables: Mapping[str, xr.Variable], kept: list[str], plan: Plan) -> str | None:
    """The coordinate that says at what one time the fields are; None if none does, several do, or there are several."""
    times = {name: variables[name] for name in kept if _is_time(variables[name])}
    if any(name in plan.sizes and variable.size > 1 for name, variable in times.items()):
        return None
    taken = {dim for name in kept for dim in variables[name].dims} | plan.dimensions
    found = [
        name
        for name, variable in times.items()
        if (variable.dims == (name,) and name in plan.batch) or (not variable.dims and name not in taken)
    ]
    with reading("Reading the time"):
        return found[0] if len(found) == 1 and np.isfinite(times[found[0]].values).all() else None


def _is_time(variable: xr.Variable) -> bool:
    """Whether it is a CF time, stored as it is; others, such as that of a forecast's start, do not count."""
    unit, since, _ = text(variable.attrs, "units").partition(SINCE)
    plain = variable.dtype.kind in "iuf" and not any(name in variable.attrs for name in OTHER_VALUES)
    is_named = text(variable.attrs, "standard_name") in ("", "time")
    return bool(since) and plain and is_named and seconds_in(unit) is not None


def rolled_out(shell: Shell, plan: Plan, manifest: Manifest, progress: Progress) -> tuple[Shell, Plan]:
    """What goes back with a rollout, and how: with the axis of the steps, and word of how far it came."""
    axis = plan.steps or STEP
    if axis in shell.variables:
        variables = _along_time(shell.variables, axis, manifest.time_step or 0.0, progress)
    else:
        variables = {**shell.variables, axis: _counted(axis, progress)}
    steps = {axis: len(progress.numbers)}
    rolled = replace(
        plan,
        sizes={**plan.sizes, **steps} if axis in plan.sizes else {**steps, **plan.sizes},
        repeated=_said(plan.repeated, variables, axis, progress),
        notes=[*plan.notes, f"rollout of {progress.steps} steps, every {progress.every} of which is given"],
        records=progress.part is not None,
    )
    unlimited = shell.unlimited if axis in plan.sizes else []  # which could not be the second dimension
    return replace(shell, variables=variables, unlimited=unlimited, mask=_mask(shell, plan, progress)), rolled


def _counted(axis: str, progress: Progress) -> xr.Variable:
    numbers = np.array(progress.numbers, np.int32)
    return xr.Variable((axis,), numbers, {"long_name": "number of model steps", "units": "1"})


def _mask(shell: Shell, plan: Plan, progress: Progress) -> npt.NDArray[np.bool_] | None:
    """Where the input was missing, at every step; and a mask at all, where states are missing as a whole."""
    if shell.mask is not None:
        return np.repeat(shell.mask, len(progress.numbers), axis=0)
    if progress.completed == progress.steps:
        return None
    samples = math.prod(plan.sizes[dim] for dim in plan.batch)
    return np.zeros((samples * len(progress.numbers), *(plan.sizes[dim] for dim in plan.grid)), bool)


def _said(
    repeated: Mapping[str, str], variables: Mapping[str, xr.Variable], axis: str, progress: Progress
) -> dict[str, str]:
    """The attributes of every output: links to what is still an auxiliary coordinate, and a comment."""
    links = [name for name in repeated.get("coordinates", "").split() if name in variables and name != axis]
    ended = (
        f"the rollout ended at a state that is not finite: up to step {progress.completed} of {progress.steps} all "
        f"states are there"
    )
    comments = [repeated.get("comment", ""), ended if progress.completed < progress.steps else ""]
    said = {**repeated, "coordinates": " ".join(links), "comment": "; ".join(filter(None, comments))}
    return {name: value for name, value in said.items() if value}


def _along_time(
    variables: Mapping[str, xr.Variable], axis: str, time_step: float, progress: Progress
) -> dict[str, xr.Variable]:
    """The coordinates with the times of the states; what was said of the start's time alone is left out."""
    start = variables[axis]
    seconds = seconds_in(text(start.attrs, "units").partition(SINCE)[0]) or 1.0
    there = slice(*(step // progress.every for step in progress.part or (0, progress.steps)))
    passed = np.arange(1, progress.steps // progress.every + 1, dtype=np.float64) * (progress.every * time_step)
    shifted = {axis, *(text(start.attrs, link) for link in BOUNDS)}
    result = {}
    for name, variable in variables.items():
        if name in shifted and variable.dtype.kind in "iuf":
            result[name] = _shifted(variable, axis, passed / seconds)[there]
        elif variable.dims != (axis,) and text(variable.attrs, "standard_name") != "forecast_period":
            result[name] = variable.isel({axis: 0}) if axis in variable.dims else variable
    return result


def _shifted(variable: xr.Variable, axis: str, passed: npt.NDArray[np.float64]) -> xr.Variable:
    """Times that have passed, after those of the start; in another type where theirs cannot hold them."""
    start = variable.isel({axis: 0}) if axis in variable.dims else variable
    exact = start.values.astype(np.float64) + passed.reshape(-1, *[1] * start.ndim)
    with np.errstate(invalid="ignore", over="ignore"):
        stored = exact.astype(start.dtype)
    if np.array_equal(stored.astype(np.float64), exact):
        return xr.Variable((axis, *start.dims), stored, start.attrs)
    attributes = {name: value for name, value in start.attrs.items() if name not in FILLS}
    return xr.Variable((axis, *start.dims), exact, attributes)
