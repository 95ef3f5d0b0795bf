"""Putting the arrays of a ginjax model in their places."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...kernels import kernel_basis
from ...nn._filters import path_name
from ...representations import Tensor
from ._biased_conv import BiasedConv
from ._filter_set import tensors
from ._leaves import Leaves
from ._vector_neuron import SignedVectorNeuron
from ._whitening_norm import WhiteningNorm

M = TypeVar("M", bound=eqx.Module)
Arrays = dict[str, Float[np.ndarray, "..."]]
Pairs = dict[tuple[Tensor, Tensor], Tensor]

ROUNDING = 1e-5
"""How far, relatively, a stored filter may be from invariance: what float32 leaves."""


def fill(network: M, leaves: Leaves) -> M:
    """The network with the parameters of a ginjax model: its layers lie in the same order as ginjax's.

    Only the shapes of its own parameters matter.

    **Raises** `ValueError` when they do not fit, and for filters that the group does not leave as they are.
    """
    fillers: dict[type, Callable[[Any, Leaves], eqx.Module]] = {
        BiasedConv: _conv,
        WhiteningNorm: _norm,
        SignedVectorNeuron: _neuron,
    }
    filled: M = jax.tree.map(
        lambda layer: fillers[type(layer)](layer, leaves) if type(layer) in fillers else layer,
        network,
        is_leaf=lambda node: type(node) in fillers,
    )
    leaves.finish()
    return filled


def _conv(layer: BiasedConv, leaves: Leaves) -> BiasedConv:
    """ginjax's weights multiply its own filters, ours an orthonormal basis of the same filters."""
    pairs = _connected(layer)
    given = {
        (source, target): leaves.take(
            f"the weights from {source} to {target}",
            (layer.out_type.channels(target), layer.in_type.channels(source), None),
        )
        for source, target in pairs
    }
    bias = _bias(layer, pairs, leaves)
    filters = _filters(layer, leaves)
    weights = {}
    for source in tensors(layer.conv.in_type):
        for target in tensors(layer.conv.out_type):
            if (source, target) in pairs:
                mixing = _in_our_basis(layer, source, target, filters[pairs[source, target]])
                weights[path_name(source, target)] = np.einsum("mn,oin->mio", mixing, given[source, target])
    empty = layer.conv.filters.weights
    layer = eqx.tree_at(lambda layer: layer.conv.filters.weights, layer, _like(empty, weights))
    if layer.bias is None:
        return layer
    layer = eqx.tree_at(lambda layer: layer.bias.weights, layer, _like(layer.bias.weights, bias))
    return layer


def _connected(layer: BiasedConv) -> Pairs:
    """The pairs of declared types that ginjax has weights for, in its order, with the type of their filters."""
    return {
        (source, target): kind
        for source in tensors(layer.in_type)
        for target in tensors(layer.out_type)
        if (kind := layer.filters.connecting(source, target)) is not None
    }


def _bias(layer: BiasedConv, pairs: Pairs, leaves: Leaves) -> Arrays:
    if layer.bias is None:
        return {}
    connected = {target for _, target in pairs}
    return {
        str(target): leaves.take(f"the bias of {target}", (layer.out_type.channels(target),))
        for target in tensors(layer.out_type)
        if target in connected
    }


def _filters(layer: BiasedConv, leaves: Leaves) -> dict[Tensor, Float[np.ndarray, "..."]]:
    sizes, ndim = layer.filters.sizes, layer.filters.group.dimension
    return {
        kind: leaves.take(f"the filters of {kind}", (None, *sizes, *kind.shape(ndim)))
        for kind in layer.filters.filters()
    }


def _in_our_basis(
    layer: BiasedConv, source: Tensor, target: Tensor, filters: Float[np.ndarray, "theirs ..."]
) -> Float[np.ndarray, "ours theirs"]:
    basis = kernel_basis(layer.filters.group, source, target, layer.filters.sizes).filters
    theirs = filters.reshape(len(filters), -1).astype(np.float64)
    mixing: Float[np.ndarray, "ours theirs"] = basis @ theirs.T
    rest = float(np.linalg.norm(theirs - mixing.T @ basis))
    if not rest <= ROUNDING * float(np.linalg.norm(theirs)):
        raise ValueError(
            f"The stored filters from {source} to {target} are not invariant under {layer.filters.group}. Name the "
            f"group that they were made with, such as flips{layer.filters.group.dimension}."
        )
    return mixing


def _norm(layer: WhiteningNorm, leaves: Leaves) -> WhiteningNorm:
    """ginjax keeps the scales and shifts of all vectors first, then those of each scalar."""
    declared = tensors(layer.field_type)
    vectors = [tensor for tensor in declared if tensor.order == 1]
    scalars = [tensor for tensor in declared if tensor.order == 0]
    places = [(part, vector) for part in ("scale", "shift") for vector in vectors]
    places += [(part, scalar) for scalar in scalars for part in ("scale", "shift")]
    given: dict[str, Arrays] = {"scale": {}, "shift": {}}
    for part, tensor in places:
        shape = (layer.field_type.channels(tensor),)
        given[part][str(tensor)] = leaves.take(f"the {part} of {tensor}", shape)
    parameters = (_like(layer.scale, given["scale"]), _like(layer.shift, given["shift"]))
    layer = eqx.tree_at(lambda layer: (layer.scale, layer.shift), layer, parameters)
    return layer


def _neuron(layer: SignedVectorNeuron, leaves: Leaves) -> SignedVectorNeuron:
    mixing = {}
    for tensor in tensors(layer.field_type):
        if not tensor.is_scalar:
            channels = layer.field_type.channels(tensor)
            mixing[str(tensor)] = leaves.take(f"the mixture of {tensor}", (channels, channels)).T
    layer = eqx.tree_at(lambda layer: layer.mixing, layer, _like(layer.mixing, mixing))
    return layer


def _like(empty: dict[str, Any], given: Arrays) -> dict[str, Float[Array, "..."]]:
    """The given arrays in the precision of the empty places; zeros where nothing is given."""
    return {name: jnp.asarray(given.get(name, np.zeros(place.shape)), place.dtype) for name, place in empty.items()}
