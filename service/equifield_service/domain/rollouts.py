"""Rollouts: a model applied to what it gave, as often as a request says."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from equifield.package.manifest import FieldSpec, Manifest, constant_features, packed_fields

from ..payload import Progress
from ..scheduling import Array
from .errors import InflatedTooLarge, InvalidQuery, NotAutoregressive


@dataclass(frozen=True)
class Steps:
    """How long a rollout is, and which states of it are wanted: `every`, `2 * every`, ..., `steps`."""

    steps: int
    every: int = 1

    @property
    def frames(self) -> int:
        """How many states are wanted."""
        return self.steps // self.every


def steps_of(steps: int | None, every: int | None, *, most: int) -> Steps | None:
    """What a request says about a rollout; None where it wants none.

    Raises:
        InvalidQuery: there are too many steps, or the last of them is not wanted.
    """
    if steps is None:
        if every is not None:
            raise InvalidQuery(
                f"`every={every}` thins a rollout, but `steps` is not given. Say how many steps to make."
            )
        return None
    if steps > most:
        raise InvalidQuery(f"`steps={steps}`: one request may ask for at most {most}. Go on from its last state.")
    every = every or 1
    if steps % every:
        below = steps - steps % every
        near = [number for number in (below, below + every) if 0 < number <= most]
        nearest = f"The nearest: {' or '.join(map(str, near))}." if near else f"Take an `every` of at most {steps}."
        raise InvalidQuery(f"`steps={steps}` is no multiple of `every={every}`. {nearest}")
    return Steps(steps, every)


def check_autoregressive(manifest: Manifest) -> None:
    """Lets a model pass that takes what it gives, and besides that constant fields alone.

    Raises:
        NotAutoregressive: it does not, so that it cannot be applied to its own outputs.
    """
    if manifest.grid.refinement > 1:
        raise NotAutoregressive(
            f"Model {manifest.name}/{manifest.version} gives fields on a grid {manifest.grid.refinement} times finer "
            f"than it takes them; a rollout needs a model that keeps the grid. Leave out `steps`, or choose another "
            f"model."
        )
    states = tuple(field for field in manifest.inputs if not field.constant)
    takes, gives = ([_meaning(field) for field in packed_fields(side)] for side in (states, manifest.outputs))
    if takes != gives:
        raise NotAutoregressive(
            f"Model {manifest.name}/{manifest.version} takes {_listed(manifest.inputs)} and gives "
            f"{_listed(manifest.outputs)}; a rollout needs a model that gives the fields that it takes, with the same "
            f"units and components, but for those that its manifest says are constant. Leave out `steps`, or choose "
            f"another model."
        )


def followed(manifest: Manifest, samples: Array, states: Array) -> Array:
    """Samples `(batch, *grid, features)` whose constant fields stay as they are, and whose others are these states."""
    following = np.array(samples)
    following[..., ~np.array(constant_features(manifest))] = states
    return following


def _meaning(field: FieldSpec) -> tuple[Any, ...]:
    """What two fields share that are one quantity, however each side is normalised."""
    components = {(component.axes, component.variable) for component in field.components}
    return field.name, field.order, field.parity, field.units, components


def _listed(fields: tuple[FieldSpec, ...]) -> str:
    return ", ".join(
        f"{field.name} ({', '.join(component.variable for component in field.components)}; {field.units or 'no units'}"
        f"{'; constant' if field.constant else ''})"
        for field in fields
    )


def check_room(shape: tuple[int, ...], steps: Steps, *, itemsize: int, most: int) -> None:
    """Lets a rollout of states `(batch, *grid, features)` pass that fit into one answer.

    Raises:
        InflatedTooLarge: they have more than `most` bytes.
    """
    state = math.prod(shape) * itemsize
    if state * steps.frames > most:
        raise InflatedTooLarge(
            f"{steps.frames} states of {state} bytes are more than the {most} bytes of one answer, which has room for "
            f"{most // state}. Ask for fewer steps, thin them with `every`, or raise EQUIFIELD_ARENA_BYTES."
        )


def progress(states: Array, steps: Steps) -> Progress:
    """How far a rollout `(batch, frames, *grid, features)` came, whose states are NaN everywhere from one on."""
    finite = np.isfinite(states.reshape(*states.shape[:2], -1)[..., 0]).all(axis=0)
    return Progress(steps.steps, steps.every, int(finite.sum()) * steps.every)
