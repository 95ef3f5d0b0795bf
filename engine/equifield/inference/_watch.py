"""Watches layers of a model while it is traced."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from ..boundary import Boundary
from ..field_type import FieldType
from ..multi_image import MultiImage

MARK = "layer: "


@dataclass(frozen=True)
class Outline:
    """An image without its numbers."""

    field_type: FieldType
    boundary: tuple[Boundary, ...]
    shape: tuple[int, ...]
    dtype: Any

    @classmethod
    def of(cls, image: MultiImage) -> "Outline":
        """That of an image."""
        return cls(image.field_type, image.boundary, image.array.shape, image.array.dtype)

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the grid axes."""
        return self.shape[-1 - len(self.boundary) : -1]


@dataclass(frozen=True)
class Call:
    """What a layer took and gave; a layer with a state gives an image and the next state."""

    taken: Outline
    given: Outline


@dataclass(frozen=True, eq=False)
class Notes:
    """What was seen of each layer, by its place in the model.

    - calls: the first call of each, in the order of calls.
    - read: the layers of which something was asked other than to be called.
    - refused: the layers that refused what they were given.
    """

    calls: dict[str, Call] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
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
            self.notes.calls.setdefault(self.place, Call(Outline.of(args[0]), Outline.of(given)))
        return output

    def __getattr__(self, name: str) -> Any:
        if name == "layer":
            raise AttributeError(name)
        self.notes.read.add(self.place)
        return getattr(self.layer, name)


def watch(model: eqx.Module, notes: Notes, is_layer: Callable[[Any], bool]) -> Any:
    """The same model with those of its parts watched that are layers."""
    return jax.tree_util.tree_map_with_path(
        lambda path, part: Watched(part, place_of(path), notes) if is_layer(part) else part, model, is_leaf=is_layer
    )


def layers_of(model: eqx.Module, is_layer: Callable[[Any], bool]) -> dict[str, Any]:
    """Those parts of a model that are layers, by their place, such as `encoders[0].conv`."""
    parts = jax.tree_util.tree_leaves_with_path(model, is_leaf=is_layer)
    return {place_of(path): part for path, part in parts if is_layer(part)}


def place_of(path: tuple[Any, ...]) -> str:
    """How the place at the end of a path is written."""
    return jax.tree_util.keystr(path).removeprefix(".")


def place_called(eqn: JaxprEqn) -> str | None:
    """The place of the watched layer that an operation calls; None for any other operation."""
    name = str(eqn.params.get("name", ""))
    return name.removeprefix(MARK) if name.startswith(MARK) else None


def programs(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs that an operation runs: a compiled function, the body of a loop, branches."""
    for setting in eqn.params.values():
        for item in setting if isinstance(setting, tuple) else (setting,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item
