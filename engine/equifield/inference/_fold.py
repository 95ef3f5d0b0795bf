"""Folding: the same function of plain arrays, without bases."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax

from ..nn import Conv, Linear
from ..nn._arrangement import AbstractArranged
from ._basis_first import BasisFirstConv, paths
from ._dense import DenseConv
from ._features_first import FeaturesFirst

M = TypeVar("M", bound=eqx.Module)
LinearMap = Conv | Linear
FoldedConv = DenseConv | BasisFirstConv

ADDITION = 8
"""How many multiply-adds of a matrix product take as long as one shifted addition (`benchmarks/NOTES.md`)."""
FULL = 32
"""From how many output features on a dense convolution is as fast as it gets."""
DENSE_IN_SPACE = 4
"""How much slower a dense convolution is on three or more axes, for each multiply-add."""


def fold(model: M, form: Callable[[LinearMap], FoldedConv] | None = None) -> M:
    """An equal model whose convolutions and linear maps are folded; for inference, not for training.

    **Arguments:**

    - model: any `eqx.Module`.
    - form: from a layer to its folded form. By default `cheaper`; `DenseConv` and `BasisFirstConv` are forms, and
        `tune` finds the faster one for each layer by trying.
    """
    to_form = cheaper if form is None else form

    def folded(node: Any) -> Any:
        if is_linear_map(node):
            return to_form(node)
        return FeaturesFirst(node) if isinstance(node, AbstractArranged) else node

    @eqx.filter_jit  # one program instead of several for every layer
    def whole(model: M) -> M:
        result: M = jax.tree.map(folded, model, is_leaf=lambda node: isinstance(node, LinearMap | AbstractArranged))
        return result

    return whole(model)


def cheaper(layer: LinearMap) -> FoldedConv:
    """The form with the lower of the `estimates`; a transposed layer has only the dense one."""
    costs = estimates(layer)
    return min(costs, key=costs.__getitem__)(layer)


def estimates(layer: LinearMap) -> dict[type[FoldedConv], int]:
    """What each form of a layer costs per output pixel, in multiply-adds of a matrix product at full speed."""
    ndim = layer.group.dimension
    features = layer.out_type.size(ndim)
    slowness = max(1, FULL / features) * (DENSE_IN_SPACE if ndim > 2 else 1)
    dense = round(slowness * math.prod(layer.stencil.sizes) * layer.in_type.size(ndim) * features)
    if layer.stencil.transposed:
        return {DenseConv: dense}
    products = additions = 0
    for source, target, filters, _ in paths(layer.group, layer.in_type, layer.out_type, layer.stencil.sizes):
        channels = layer.in_type.channels(source)
        for sums in filters:
            products += channels * layer.out_type.channels(target) * sum(bool(terms) for terms in sums)
            additions += channels * sum(map(len, sums))
    return {DenseConv: dense, BasisFirstConv: products + ADDITION * additions}


def is_linear_map(node: object) -> bool:
    """Whether a part of a model is a layer that folds."""
    return isinstance(node, Conv | Linear)
