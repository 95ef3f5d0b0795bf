"""The weights of a network on fewer grid axes, for one on more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..groups import Group
from ..kernels import kernel_basis
from ..nn import BatchNorm, Conv, GroupNorm, InstanceNorm, LayerNorm, Linear
from ..nn._filters import path_name
from ..representations import Representation, scalar
from ._network import AbstractNetwork

N = TypeVar("N", bound=AbstractNetwork)
Weights = dict[str, Float[Array, "..."]]


def transfer_weights(network: N, target: N, *, tolerance: float = 1e-6) -> N:
    """The weights with which a network on more grid axes agrees with one on fewer.

    An image on fewer axes is one on more that does not change along the new, last axes and whose tensors have no
    components along them. On such images the result gives what `network` gives: so a model trained in the plane
    begins, in space, with what it knows (Levin and Díaz 2024, Any-dimensional equivariant neural networks). Summed
    along the new axes each kernel must be the old one; of all that are, this is the one with the smallest weights.

    It holds for the boundaries that continue a constant: `periodic`, `reflect` and `replicate`.

    **Arguments:**

    - network: the trained network.
    - target: the same architecture with the same options, for a group on more axes; its weights are not used.
    - tolerance: the part of a kernel, relative to its size, that may be lost where none agrees. With 1.0 the nearest
        is taken, however far: a start for training, no longer the same function.

    **Raises:** `ValueError` for networks of different architecture, for fields that are not tensors, for normalisations
    (they count components, of which there are more on more axes) and where no kernel of the larger group agrees:
    the curl of a vector, a pseudoscalar in the plane, is a pseudovector in space.
    """
    ours, theirs = (jax.tree.flatten(model, is_leaf=_is_layer) for model in (network, target))
    if list(map(type, ours[0])) != list(map(type, theirs[0])):
        raise ValueError("`transfer_weights` needs two networks of one architecture, built with the same options.")
    transferred: N = jax.tree.unflatten(
        theirs[1], [_transferred(*pair, tolerance) for pair in zip(ours[0], theirs[0], strict=True)]
    )
    return transferred


def _is_layer(node: object) -> bool:
    return isinstance(node, Conv | Linear | GroupNorm | LayerNorm | InstanceNorm | BatchNorm)


def _transferred(ours: Any, theirs: Any, tolerance: float) -> Any:
    match ours:
        case Conv() | Linear():
            return _linear_map(ours, theirs, tolerance)
        case eqx.Module():
            raise ValueError(
                f"`{type(ours).__name__}` divides by a mean over the components of a tensor, of which there are more "
                f"on more axes: no weights make up for it. Use a network without normalisation, `norm_groups=None`."
            )
    if jnp.shape(ours) != jnp.shape(theirs):
        raise ValueError(
            f"`transfer_weights` needs two networks of equal channels, but weights of shape {jnp.shape(ours)} meet "
            f"{jnp.shape(theirs)}."
        )
    return ours


def _linear_map(ours: Conv | Linear, theirs: Conv | Linear, tolerance: float) -> Conv | Linear:
    _check_alike(ours, theirs)
    groups, axes = (ours.group, theirs.group), ours.group.dimension
    filters = _Extension(groups, (ours.filters.sizes, theirs.filters.sizes), _phases(ours, theirs), tolerance)
    paths = {path_name(rho, target): (rho, target) for rho, _ in ours.in_type for target, _ in ours.out_type}
    weights = filters.weights(ours.filters.weights, theirs.filters.weights, paths)
    layer: Conv | Linear = eqx.tree_at(lambda layer: layer.filters.weights, theirs, weights)
    if ours.constant is None or theirs.constant is None:
        return layer
    pixels = ((1,) * axes, (1,) * theirs.group.dimension)
    constants = _Extension(groups, pixels, (np.ones((1, 1)),) * len(filters.phases), tolerance)
    invariants = {str(target): (scalar, target) for target, _ in ours.out_type}
    weights = constants.weights(ours.constant.weights, theirs.constant.weights, invariants)
    layer = eqx.tree_at(lambda layer: layer.constant.weights, layer, weights)
    return layer


def _check_alike(ours: Conv | Linear, theirs: Conv | Linear) -> None:
    axes = ours.group.dimension
    if axes >= theirs.group.dimension:
        raise ValueError(f"`transfer_weights` leads to more axes, not from {axes} to {theirs.group.dimension}.")
    shared = theirs.filters.sizes[:axes]
    if (ours.in_type, ours.out_type, ours.filters.sizes) != (theirs.in_type, theirs.out_type, shared):
        raise ValueError(
            f"`transfer_weights` needs networks of equal fields and kernels, but a layer from {ours.in_type} to "
            f"{ours.out_type} of sizes {ours.filters.sizes} meets one from {theirs.in_type} to {theirs.out_type} of "
            f"sizes {theirs.filters.sizes}."
        )


def _phases(ours: Conv | Linear, theirs: Conv | Linear) -> tuple[Float[np.ndarray, "phases taps"], ...]:
    """For each new axis, which taps of a kernel an output sees: all, or, of a transposed one, every stride-th."""
    new = range(ours.group.dimension, theirs.group.dimension)
    if isinstance(theirs, Conv) and theirs.stencil.transposed:
        size, stride, dilation = theirs.stencil.sizes, theirs.stencil.stride, theirs.stencil.dilation
        reached = {axis: np.arange(size[axis]) * dilation[axis] % stride[axis] for axis in new}
        return tuple(np.equal.outer(np.unique(reached[axis]), reached[axis]).astype(float) for axis in new)
    return tuple(np.ones((1, theirs.filters.sizes[axis])) for axis in new)


@dataclass(frozen=True)
class _Extension:
    """From kernels for a group and of sizes on fewer axes to those for another on more; `phases` as above."""

    groups: tuple[Group, Group]
    sizes: tuple[tuple[int, ...], tuple[int, ...]]
    phases: tuple[Float[np.ndarray, "phases taps"], ...]
    tolerance: float

    def weights(
        self, given: Weights, empty: Weights, paths: Mapping[str, tuple[Representation, Representation]]
    ) -> Weights:
        """The weights that agree with those given, in the places of the empty ones; what leads to none is refused."""
        weights = {name: jnp.zeros_like(place) for name, place in empty.items()}
        for name, weight in given.items():
            mixing, wanted, lost = self._solve(*paths[name])
            missed, size = (jnp.linalg.norm(jnp.tensordot(part, weight, 1)) for part in (lost, wanted))
            if missed > self.tolerance * size:
                raise ValueError(
                    f"No {self.groups[1]}-equivariant kernel of sizes {self.sizes[1]} agrees with the one of "
                    f"{self.groups[0]} and sizes {self.sizes[0]} from {name}: {missed / size:.0%} of it would be lost. "
                    f"Use other fields, or take the nearest with `tolerance=1.0`."
                )
            if name in weights:
                weights[name] = jnp.tensordot(jnp.asarray(mixing, weight.dtype), weight, 1)
        return weights

    def _solve(
        self, source: Representation, target: Representation
    ) -> tuple[Float[np.ndarray, "new old"], Float[np.ndarray, "entries old"], Float[np.ndarray, "entries old"]]:
        """The matrix from old weights to new ones, each old filter, and what of it is lost."""
        old, new = (
            kernel_basis(group, source, target, sizes) for group, sizes in zip(self.groups, self.sizes, strict=True)
        )
        sources, targets = (_embedded(rho, *(group.dimension for group in self.groups)) for rho in (source, target))
        summed = new.dense[..., sources, :]
        axis = len(self.sizes[0])
        for phases in self.phases:
            axis += 1
            summed = np.moveaxis(np.tensordot(summed, phases, (axis, 1)), -1, axis)
        wanted = np.zeros((len(old), *summed.shape[1:]))
        between = (None,) * len(self.phases)
        wanted[..., targets] = old.dense[(..., *between, slice(None), slice(None))]
        columns, wanted = (array.reshape(len(array), math.prod(array.shape[1:])).T for array in (summed, wanted))
        mixing = np.linalg.pinv(columns) @ wanted
        return mixing, wanted, columns @ mixing - wanted


def _embedded(representation: Representation, old: int, new: int) -> Bool[np.ndarray, " components"]:
    """Which components of a tensor on more axes are those of one on fewer."""
    shape = representation.shape(new)
    if not set(shape) <= {new}:
        raise ValueError(f"`transfer_weights` takes tensors, whose components belong to axes, not {representation}.")
    kept: Bool[np.ndarray, " components"] = np.all(np.indices(shape) < old, axis=0).reshape(-1)
    return kept
