"""Layers from kernels that are known."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..kernels import KernelBasis, kernel_basis
from ..representations import scalar
from ._conv import Conv
from ._filters import path_name
from ._linear import Linear

L = TypeVar("L", bound=Conv | Linear)


def with_kernel(
    layer: L, kernel: Float[Array, "*sizes in_features out_features"], bias: Float[Array, " out_features"] | None = None
) -> L:
    """The layer with the weights that give a kernel and a bias, or their equivariant part.

    The filters are orthonormal, so each weight is the inner product of the kernel and a filter.
    """
    sources, targets = (fields.slices(layer.group.dimension) for fields in (layer.in_type, layer.out_type))
    weights = {
        path_name(source, target): _coordinates(layer.filters.basis(source, target), kernel[..., rows, columns])
        for source, rows in sources.items()
        for target, columns in targets.items()
        if path_name(source, target) in layer.filters.weights
    }
    layer = eqx.tree_at(lambda layer: layer.filters.weights, layer, weights)
    if bias is None or layer.constant is None or not layer.constant.weights:
        return layer
    pixel = (1,) * layer.group.dimension
    constants = {
        str(target): _coordinates(
            kernel_basis(layer.group, scalar, target, pixel), bias[columns].reshape(*pixel, 1, -1)
        )[:, 0]
        for target, columns in targets.items()
        if str(target) in layer.constant.weights
    }
    layer = eqx.tree_at(lambda layer: layer.constant.weights, layer, constants)
    return layer


def _coordinates(
    basis: KernelBasis, block: Float[Array, "*sizes in out"]
) -> Float[Array, "filters in_channels out_channels"]:
    values = block.reshape(*basis.sizes, -1, basis.source_size, block.shape[-1] // basis.target_size, basis.target_size)
    filters = jnp.asarray(basis.dense, block.dtype)
    return jnp.einsum("n...st,...isot->nio", filters, values, precision=jax.lax.Precision.HIGHEST)
