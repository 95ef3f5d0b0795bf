"""Merging: linear layers in a row become one."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.extend.core import Jaxpr, Literal
from jaxtyping import Array, Float

from ..groups import Group, flips
from ..multi_image import MultiImage
from ..nn import Conv, Linear
from ..nn._stencil import Stencil
from ..nn._with_kernel import with_kernel
from ._fold import LinearMap, estimates, is_linear_map
from ._watch import Notes, Outline, layers_of, place_called, place_of, programs, watch

M = TypeVar("M", bound=eqx.Module)


class Merged(eqx.Module):
    """Where a layer was that has been merged into a later one: gives what it takes.

    `into` is the place of that layer in the model.
    """

    into: str = eqx.field(static=True)

    def __call__(self, image: MultiImage) -> MultiImage:
        """The same image."""
        return image


def merge(model: M, image: MultiImage) -> M:
    """An equal model in which linear layers that directly follow each other are one; for inference, before `fold`.

    Two of them are merged where the one is not dearer and exact on every grid with every boundary:

    - any layer and a map of single pixels behind it, constants included;
    - a map of single pixels without constants, for a group with the reflections of all axes, and any layer behind it:
        such a map commutes with every continuation beyond the edges.

    The last of a row takes the place of all, as equivariant as they were. What follows what is read off the traced
    program: an output that is used twice, a layer that is called twice, and one that is not only called but also asked
    for its weights or types stay as they are.

    **Arguments:**

    - model: from images to images.
    - image: what it will take; its numbers do not matter.

    **Raises:** what the model raises for the image.
    """
    replaced: dict[str, LinearMap | Merged] = {}
    for row in _rows(model, image):
        for link in _shortened(row):
            *gone, kept = link.places
            replaced |= {kept: link.layer, **{place: Merged(kept) for place in gone}}
    merged: M = jax.tree_util.tree_map_with_path(
        lambda path, part: replaced.get(place_of(path), part), model, is_leaf=is_linear_map
    )
    return merged


@dataclass(frozen=True)
class _Link:
    """A layer in a row, the places of those merged into it and its own, and what it gives."""

    places: tuple[str, ...]
    layer: LinearMap
    given: Outline

    @property
    def cost(self) -> int:
        """In multiply-adds of a matrix product."""
        return math.prod(self.given.shape[:-1]) * min(estimates(self.layer).values())


@dataclass(frozen=True, eq=False)
class _Calls:
    """How often each layer is called, and for each whose output one other layer alone takes, which that is."""

    number: Counter[str] = field(default_factory=Counter)
    taker: dict[str, str] = field(default_factory=dict)

    def read_off(self, program: Jaxpr) -> None:
        """Adds the calls in a program and in those that it runs."""
        used = [*program.outvars, *(variable for eqn in program.eqns for variable in eqn.invars)]
        uses = Counter[Any](variable for variable in used if not isinstance(variable, Literal))
        maker: dict[Any, str] = {}
        for eqn in program.eqns:
            place = place_called(eqn)
            if place is None:
                for inner in programs(eqn):
                    self.read_off(inner)
                continue
            self.number[place] += 1
            *_, image = eqn.invars
            if image in maker and uses[image] == 1:
                self.taker[maker[image]] = place
            maker[eqn.outvars[0]] = place


def _rows(model: eqx.Module, image: MultiImage) -> list[list[_Link]]:
    """The rows of layers each of which alone takes what the one before it gives."""
    notes, calls = Notes(), _Calls()
    watched = watch(model, notes, is_linear_map)
    program, _, _ = eqx.filter_make_jaxpr(lambda image: watched(image))(image)
    calls.read_off(program.jaxpr)
    layers = layers_of(model, is_linear_map)
    links = {
        place: _Link((place,), layers[place], call.given)
        for place, call in notes.calls.items()
        if calls.number[place] == 1 and place not in notes.read
    }
    pairs = {
        first: second
        for first, second in calls.taker.items()
        if first in links and second in links and notes.calls[first].given == notes.calls[second].taken
    }
    rows = []
    for place in [place for place in pairs if place not in pairs.values()]:
        row = [links[place]]
        while place := pairs.get(place, ""):
            row.append(links[place])
        rows.append(row)
    return rows


def _shortened(row: list[_Link]) -> list[_Link]:
    """The row with all pairs merged that can be."""
    for i in range(len(row) - 1):
        both = _together(row[i], row[i + 1])
        if both is not None:
            return _shortened([*row[:i], both, *row[i + 2 :]])
    return row


def _together(first: _Link, second: _Link) -> _Link | None:
    """One layer that does what two do; None where there is none, or none as cheap."""
    layer = _product(first.layer, second.layer)
    if layer is None:
        return None
    both = _Link((*first.places, *second.places), layer, second.given)
    return both if both.cost <= first.cost + second.cost else None


def _product(first: LinearMap, second: LinearMap) -> LinearMap | None:
    """The layer that does what one does and then the other, if it is one."""
    shared = set(first.group) & set(second.group)
    group = first.group if shared == set(first.group) else second.group
    after = _is_pointwise(second)
    before = _is_pointwise(first) and first.bias() is None and set(flips(group.dimension)) <= set(first.group)
    if shared != set(group) or not (after or before):
        return None
    try:
        layer = eqx.filter_eval_shape(_fresh, group, first, second, first.stencil if after else second.stencil)
    except ValueError:  # an output that both together leave at zero: no filter leads to it
        return None
    product: LinearMap = eqx.filter_jit(lambda *pair: with_kernel(layer, *_composed(*pair)))(first, second)
    return product


def _fresh(group: Group, first: LinearMap, second: LinearMap, stencil: Stencil) -> LinearMap:
    types, use_bias = (first.in_type, second.out_type), first.bias() is not None or second.bias() is not None
    if isinstance(first, Linear) and isinstance(second, Linear):
        return Linear(group, *types, use_bias=use_bias, key=jr.key(0))
    return Conv(
        group,
        *types,
        kernel_size=stencil.sizes,
        stride=stencil.stride,
        dilation=stencil.dilation,
        transposed=stencil.transposed,
        use_bias=use_bias,
        key=jr.key(0),
    )


def _composed(first: LinearMap, second: LinearMap) -> tuple[Float[Array, "*sizes in out"], Float[Array, " out"] | None]:
    """The kernel and the bias of one layer after another, of which one at least is a map of single pixels."""
    one, other = (layer.filters.kernel() for layer in (first, second))
    dtype = jnp.promote_types(one.dtype, other.dtype)
    one, other = one.astype(dtype), other.astype(dtype)
    kernel = jnp.matmul(one, other, precision=jax.lax.Precision.HIGHEST)
    constant, bias = first.bias(), second.bias()
    if constant is not None:
        matrix = other.reshape(other.shape[-2:])
        through = jnp.matmul(constant.astype(dtype), matrix, precision=jax.lax.Precision.HIGHEST)
        bias = through if bias is None else through + bias.astype(dtype)
    return kernel, bias


def _is_pointwise(layer: LinearMap) -> bool:
    return max(*layer.stencil.sizes, *layer.stencil.stride) == 1
