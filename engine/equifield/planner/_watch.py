"""Finds the layers of a network, and watches them while it is traced."""

from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import JaxprEqn

from ..field_type import FieldType
from ..multi_image import MultiImage

MARK = "layer: "


@dataclass(frozen=True)
class Call:
    """What a layer took and gave; a layer with a state gives an image and the next state."""

    in_type: FieldType
    grid: tuple[int, ...]
    out_type: FieldType
    out_grid: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Notes:
    """The first call of each layer by its place in the network, in the order of calls, and who refused one."""

    calls: dict[str, Call] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


class Watched(eqx.Module):
    """A layer that takes notes, and whose operations form a function of their own in the traced program."""

    layer: Any
    place: str = eqx.field(static=True)
    notes: Notes = eqx.field(static=True)

    def __call__(self, *args: Any, **options: Any) -> Any:
        arrays, static = eqx.partition((self.layer, args, options), eqx.is_array)

        def call(arrays: Any) -> Any:
            layer, args, options = eqx.combine(arrays, static)
            return layer(*args, **options)

        call.__name__ = MARK + self.place
        try:
            output = jax.jit(call)(arrays)
        except ValueError:
            self.notes.refused.append(self.place)
            raise
        given = output[0] if isinstance(output, tuple) else output
        if args and isinstance(args[0], MultiImage) and isinstance(given, MultiImage):
            seen = Call(args[0].field_type, args[0].grid, given.field_type, given.grid)
            self.notes.calls.setdefault(self.place, seen)
        return output

    def __getattr__(self, name: str) -> Any:
        if name == "layer":
            raise AttributeError(name)
        return getattr(self.layer, name)


def place_called(eqn: JaxprEqn) -> str | None:
    """The place of the watched layer that an operation calls; None for any other operation."""
    name = str(eqn.params.get("name", ""))
    return name.removeprefix(MARK) if name.startswith(MARK) else None


def is_layer(part: Any) -> bool:
    """Whether a part of a network is a layer: a module that can be called, with at most one such module inside.

    So a normalisation is one layer together with its affine map, but a block of several layers is none.
    """
    return _is_callable_module(part) and _innermost(part) == 1


def layers(network: eqx.Module) -> dict[str, eqx.Module]:
    """The layers of a network by their place, such as `encoders[0].conv`."""
    parts = jax.tree_util.tree_leaves_with_path(network, is_leaf=is_layer)
    return {_place(path): part for path, part in parts if is_layer(part)}


def watch(network: eqx.Module, notes: Notes) -> Any:
    """The same network with all its layers watched."""
    return jax.tree_util.tree_map_with_path(
        lambda path, part: Watched(part, _place(path), notes) if is_layer(part) else part, network, is_leaf=is_layer
    )


def _innermost(part: eqx.Module) -> int:
    """How many callable modules a callable module consists of that have no other inside."""
    inside = jax.tree.leaves(part, is_leaf=lambda node: node is not part and _is_callable_module(node))
    return sum(_innermost(node) for node in inside if _is_callable_module(node)) or 1


def _is_callable_module(part: Any) -> bool:
    return isinstance(part, eqx.Module) and callable(part)


def _place(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path).removeprefix(".")
