"""What each layer of a network maps, holds and lacks."""

import itertools
import math
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ..inference import estimates
from ..nn import Conv, Linear
from ..nn._filters import Filters
from ._cost import Costs
from ._report import LayerPlan
from ._watch import Call, Notes, layers

Part = TypeVar("Part", bound=eqx.Module)


def layer_plans(network: eqx.Module, notes: Notes, spent: Costs | None) -> tuple[LayerPlan, ...]:
    """One row per layer of the network as it was built, with what was seen and spent when it ran folded."""
    found = layers(network)
    in_order = dict.fromkeys([*notes.calls, *found])
    return tuple(_layer_plan(place, found[place], notes, spent) for place in in_order)


def parameters(network: eqx.Module) -> int:
    """How many numbers are trained."""
    leaves = filter(is_shape, jax.tree.leaves(network))
    return sum(math.prod(leaf.shape) for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact))


def is_shape(leaf: Any) -> bool:
    """Whether a leaf stands for an array that does not exist."""
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _layer_plan(place: str, layer: eqx.Module, notes: Notes, spent: Costs | None) -> LayerPlan:
    maps: list[Conv | Linear] = [*_parts(layer, Conv), *_parts(layer, Linear)]
    held = [part.filters for part in maps]
    paths = tuple(
        (str(source), str(target), len(filters.basis(source, target)))
        for filters in held
        for source, target in itertools.product(filters.in_type.representations, filters.out_type.representations)
    )
    leading = {source for source, _, number in paths if number}
    call = notes.calls.get(place)
    in_type, out_type = _types(call or (held[0] if held else None))
    return LayerPlan(
        place=place,
        kind=type(layer).__name__,
        in_type=in_type,
        out_type=out_type,
        grid=call.grid if call else None,
        out_grid=call.out_grid if call else None,
        stencil=maps[0].stencil if maps else None,
        forms=_forms(maps[0]) if len(maps) == 1 else (),
        filters=paths,
        missing=tuple((source, target) for source, target, number in paths if not number),
        dropped=tuple(dict.fromkeys(source for source, _, _ in paths if source not in leading)),
        parameters=parameters(layer),
        calls=None if spent is None else spent[place, "calls"],
        multiply_adds=None if spent is None else spent[place, "multiply_adds"],
        elementwise=None if spent is None else spent[place, "elementwise"],
    )


def _types(typed: Call | Filters | None) -> tuple[str | None, str | None]:
    return (None, None) if typed is None else (str(typed.in_type), str(typed.out_type))


def _forms(layer: Conv | Linear) -> tuple[tuple[str, int], ...]:
    """The forms of a layer that folds, the cheapest first."""
    costs = {form.__name__: cost for form, cost in estimates(layer).items()}
    return tuple(sorted(costs.items(), key=lambda form: form[1]))


def _parts(layer: eqx.Module, kind: type[Part]) -> list[Part]:
    parts = jax.tree.leaves(layer, is_leaf=lambda part: isinstance(part, kind))
    return [part for part in parts if isinstance(part, kind)]
