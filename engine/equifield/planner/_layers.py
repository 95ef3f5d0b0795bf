"""What each layer of a network maps, holds and lacks, and the form it takes."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..inference import Merged, Tuning, cheaper, estimates
from ..inference._fold import FoldedConv, LinearMap, is_linear_map
from ..inference._watch import Notes, layers_of
from ._cost import Costs, nbytes
from ._find import is_layer
from ._report import LayerPlan, duration, short

Form = Callable[[LinearMap], FoldedConv]


@dataclass(frozen=True)
class Stages:
    """A network as it was built, with its linear layers in a row merged, and then folded to a form."""

    built: eqx.Module
    merged: eqx.Module
    folded: eqx.Module
    form: Form | None


def layer_plans(stages: Stages, notes: Notes, spent: Costs | None) -> tuple[LayerPlan, ...]:
    """One row per layer of the network as it was built, with what was seen and spent when it ran folded."""
    built, merged, folded = (layers_of(network, is_layer) for network in (stages.built, stages.merged, stages.folded))
    in_order = dict.fromkeys([*notes.calls, *built])
    return tuple(
        LayerPlan(
            place=place,
            kind=type(merged[place] if _merged_into(merged[place]) is None else built[place]).__name__,
            parameters=parameters(built[place]),
            bytes=stored(folded[place]),
            **_held(built[place]),
            **_mapped(place, merged[place], notes),
            **_formed(merged[place], folded[place], stages.form),
            **_spent(place, spent),
        )
        for place in in_order
    )


def parameters(network: eqx.Module) -> int:
    """How many numbers are trained."""
    leaves = filter(is_shape, jax.tree.leaves(network))
    return sum(math.prod(leaf.shape) for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact))


def stored(network: eqx.Module) -> int:
    """The bytes of all arrays."""
    return sum(nbytes(leaf) for leaf in jax.tree.leaves(network) if is_shape(leaf))


def is_shape(leaf: Any) -> bool:
    """Whether a leaf stands for an array that does not exist."""
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _spent(place: str, spent: Costs | None) -> dict[str, Any]:
    kinds = ("calls", "multiply_adds", "elementwise")
    return {kind: None if spent is None else spent[place, kind] for kind in kinds}


def _held(layer: eqx.Module) -> dict[str, Any]:
    """The filters that a layer has, and what it lacks for want of others."""
    paths = tuple(
        (str(source), str(target), len(part.filters.basis(source, target)))
        for part in layers_of(layer, is_linear_map).values()
        for source, target in itertools.product(part.in_type.representations, part.out_type.representations)
    )
    leading = {source for source, _, number in paths if number}
    return {
        "filters": paths,
        "missing": tuple((source, target) for source, target, number in paths if not number),
        "dropped": tuple(dict.fromkeys(source for source, _, _ in paths if source not in leading)),
    }


def _mapped(place: str, layer: eqx.Module, notes: Notes) -> dict[str, Any]:
    """What a layer takes and gives: as was seen, or else as its filters say."""
    part = next(iter(layers_of(layer, is_linear_map).values()), None)
    call = notes.calls.get(place)
    taken, given = (call.taken.field_type, call.given.field_type) if call else (None, None)
    if call is None and part is not None:
        taken, given = part.in_type, part.out_type
    return {
        "in_type": None if taken is None else str(taken),
        "out_type": None if given is None else str(given),
        "grid": call.taken.grid if call else None,
        "out_grid": call.given.grid if call else None,
        "stencil": part.stencil if part else None,
    }


def _formed(layer: eqx.Module, folded: eqx.Module, form: Form | None) -> dict[str, Any]:
    """The form of a layer, those it could have, and the reason."""
    into = _merged_into(layer)
    parts = list(layers_of(layer, is_linear_map).values())
    if into is not None or len(parts) != 1:
        return {"form": None, "forms": (), "seconds": (), "reason": None if into is None else f"merged into {into}"}
    (taken,) = map(type, layers_of(folded, lambda part: isinstance(part, FoldedConv)).values())
    costs = estimates(parts[0])
    times = form.measured(parts[0]) if isinstance(form, Tuning) else {}
    if set(costs) == {taken}:
        reason = f"{'transposed: ' if parts[0].stencil.transposed else ''}no other form"
    elif times:
        reason = f"measured: {_against(taken, times, duration)}"
    else:
        reason = f"estimated: {_against(taken, costs, short)}" if form in (None, cheaper) else "asked for"
    return {"form": taken.__name__, "forms": _named(costs), "seconds": _named(times), "reason": reason}


def _merged_into(layer: eqx.Module) -> str | None:
    gone = layers_of(layer, lambda part: isinstance(part, Merged)).values()
    return next((part.into for part in gone), None)


def _named(amounts: Mapping[type, Any]) -> tuple[tuple[str, Any], ...]:
    """Amounts by the name of the form, the smallest first."""
    return tuple(sorted(((form.__name__, amount) for form, amount in amounts.items()), key=lambda named: named[1]))


def _against(taken: type, amounts: Mapping[type, Any], show: Callable[[Any], str]) -> str:
    others = [show(amount).strip() for form, amount in amounts.items() if form is not taken]
    return f"{show(amounts[taken]).strip()} against {', '.join(others)}"
