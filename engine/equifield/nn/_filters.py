"""Learned weights on the basis of equivariant filters, and on invariant constants."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .._random import normal
from ..field_type import FieldType
from ..groups import Group
from ..kernels import KernelBasis, kernel_basis
from ..representations import Representation, scalar


class Filters(eqx.Module):
    """One weight per equivariant filter and pair of channels, for every pair of representations.

    The filters themselves are constants, never leaves: no optimiser sees, decays or counts them. Where the group
    allows no filter between two representations there is no weight; `missing` lists these pairs.
    """

    weights: dict[str, Float[Array, "filters in_channels out_channels"]]
    group: Group = eqx.field(static=True)
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    sizes: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        sizes: tuple[int, ...],
        share: float = 1.0,
        key: PRNGKeyArray,
    ):
        """Normal weights that keep the variance of unit normal input, of which each output sees this share of the taps.

        **Raises** `ValueError` for an output that no input can reach, and for sizes that the group does not preserve.
        """
        self.group = group
        self.in_type = in_type
        self.out_type = out_type
        self.sizes = sizes
        self.weights = {}
        for target, out_channels in out_type:
            counts = {source: len(self.basis(source, target)) for source in in_type.representations}
            fan_in = sum(counts[source] * channels for source, channels in in_type)
            if fan_in == 0:
                raise ValueError(
                    f"No {group}-equivariant filter of sizes {sizes} leads from any of {in_type} to {target}. Add an "
                    f"input representation, enlarge the kernel, or drop the output."
                )
            deviation = math.sqrt(target.size(group.dimension) / (fan_in * share))
            for source, in_channels in in_type:
                if counts[source]:
                    key, subkey = jr.split(key)
                    shape = (counts[source], in_channels, out_channels)
                    self.weights[path_name(source, target)] = normal(subkey, shape, deviation=deviation)

    def basis(self, source: Representation, target: Representation) -> KernelBasis:
        """The filters from one representation to another."""
        return kernel_basis(self.group, source, target, self.sizes)

    @property
    def missing(self) -> tuple[tuple[Representation, Representation], ...]:
        """The pairs (source, target) between which the group allows no filter of these sizes."""
        pairs = ((s, t) for s in self.in_type.representations for t in self.out_type.representations)
        return tuple((source, target) for source, target in pairs if path_name(source, target) not in self.weights)

    def kernel(self) -> Float[Array, "*sizes in_features out_features"]:
        """The kernel of one ordinary convolution over all packed features: weights times filters."""
        rows = [
            jnp.concatenate([self._block(source, target) for target in self.out_type.representations], axis=-1)
            for source in self.in_type.representations
        ]
        return jnp.concatenate(rows, axis=-2)

    def _block(self, source: Representation, target: Representation) -> Float[Array, "*sizes in out"]:
        basis = self.basis(source, target)
        channels = (self.in_type.channels(source), self.out_type.channels(target))
        shape = (*basis.sizes, channels[0] * basis.source_size, channels[1] * basis.target_size)
        if not len(basis):
            return jnp.zeros(shape, next(iter(self.weights.values())).dtype)
        weights = self.weights[path_name(source, target)]
        filters = jnp.asarray(basis.dense, weights.dtype)
        block = jnp.einsum("n...st,nio->...isot", filters, weights, precision=jax.lax.Precision.HIGHEST)
        return block.reshape(shape)


class InvariantBias(eqx.Module):
    """A learned constant in the invariant values of each representation: a true scalar has one, a vector has none."""

    weights: dict[str, Float[Array, "invariants channels"]]
    group: Group = eqx.field(static=True)
    field_type: FieldType = eqx.field(static=True)

    def __init__(self, group: Group, field_type: FieldType):
        """Zero for every invariant value of `field_type`."""
        self.group = group
        self.field_type = field_type
        counts = {representation: len(self._invariants(representation)) for representation, _ in field_type}
        self.weights = {
            str(representation): jnp.zeros((counts[representation], channels))
            for representation, channels in field_type
            if counts[representation]
        }

    def _invariants(self, representation: Representation) -> KernelBasis:
        return kernel_basis(self.group, scalar, representation, (1,) * self.group.dimension)

    def packed(self) -> Float[Array, " features"] | None:
        """The constant for every packed feature; None when no representation has an invariant value."""
        if not self.weights:
            return None
        dtype = next(iter(self.weights.values())).dtype
        blocks = []
        for representation, channels in self.field_type:
            size = representation.size(self.group.dimension)
            if str(representation) in self.weights:
                values = jnp.asarray(self._invariants(representation).dense.reshape(-1, size), dtype)
                weights = self.weights[str(representation)]
                blocks.append(jnp.einsum("nt,no->ot", values, weights, precision=jax.lax.Precision.HIGHEST).reshape(-1))
            else:
                blocks.append(jnp.zeros(channels * size, dtype))
        return jnp.concatenate(blocks)


def path_name(source: Representation, target: Representation) -> str:
    """Under which the weights from one representation to another are kept."""
    return f"{source} -> {target}"
