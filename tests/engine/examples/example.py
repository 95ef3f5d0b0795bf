"""What an example of a layer is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import PRNGKeyArray

from equifield import FieldType, Group, MultiImage, Regular, Tensor

Layer = Callable[[MultiImage], MultiImage]


def every_type(group: Group) -> FieldType:
    """All tensor orders up to two, both parities, and the regular representation of the smaller groups."""
    text = "1x scalar + 1x pseudoscalar + 2x vector + 1x tensor(2)"
    return FieldType.parse(text) + FieldType({Regular(group): 1} if group.order <= 8 else {Tensor(1, 1): 1})


@dataclass(frozen=True)
class Example:
    """How to build a layer for a group, and the fields it takes.

    `scales` is by how much it refines (2) or coarsens (0.5) a periodic grid, 0 where all pixels become one;
    `knows_group` whether the group shapes it, so that every named subgroup must be tried and not only B_d.
    """

    build: Callable[[Group, PRNGKeyArray], Any]
    field_type: Callable[[Group], FieldType] = every_type
    knows_group: bool = False
    scales: float = 1.0
