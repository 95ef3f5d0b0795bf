"""A convolution that applies the filters before the weights."""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..groups import Group
from ..kernels import kernel_basis
from ..multi_image import MultiImage, block_features, from_block_features
from ..nn import Conv, Linear
from ..nn._check import check_type
from ..nn._filters import path_name
from ..nn._stencil import Stencil
from ..ops import pad
from ..representations import Representation

Index = tuple[int, ...]


class Term(NamedTuple):
    """One entry of a filter: what it multiplies, at which tap, of which component."""

    coefficient: float
    tap: Index
    component: int


Sums = tuple[tuple[Term, ...], ...]
"""For each component of the target, the terms of the sum that one filter forms of its input."""
Windows = Callable[[Representation, Index, int], Float[Array, "*batch_grid channels"]]
"""What a tap sees of one component of the fields of a representation, for every output pixel."""


class BasisFirstConv(eqx.Module):
    """A `Conv` or `Linear` that first applies each filter to each input channel, then mixes the channels.

    The filters are few and sparse, and hold no weights: applying them takes shifts and sums. What is left is one
    matrix product for each component of the output, over as many rows as filters reach it. For a scalar and a vector
    on 3 x 3 pixels these are 19 products for each pair of channels where an ordinary convolution needs 81.
    """

    weights: dict[str, Float[Array, "filters in_channels out_channels"]]
    bias: Float[Array, " out_features"] | None
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    group: Group = eqx.field(static=True)
    stencil: Stencil = eqx.field(static=True)

    def __init__(self, layer: Conv | Linear):
        """The equal form of a layer. **Raises** `ValueError` for a transposed one, whose taps come apart."""
        if layer.stencil.transposed:
            raise ValueError("A transposed convolution has no basis-first form. Use `DenseConv`.")
        self.bias = layer.bias()
        self.in_type = layer.in_type
        self.out_type = layer.out_type
        self.group = layer.group
        self.stencil = layer.stencil
        self.weights = {
            path_name(source, target): layer.filters.weights[path_name(source, target)] * scales[:, None, None]
            for source, target, _, scales in paths(layer.group, layer.in_type, layer.out_type, layer.stencil.sizes)
        }

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to fields of `out_type`, as the layer it was made from."""
        check_type(self, image, self.in_type, self.group)
        self.stencil.check(image)
        margins = tuple(self.stencil.margin(axis) for axis in range(image.ndim))
        padded = image.with_array(pad(image, margins, margins))
        fields = {source: block_features(padded, source) for source in self.in_type.representations}

        @functools.cache
        def seen(source: Representation, tap: Index, component: int) -> Float[Array, "*batch_grid channels"]:
            return self.stencil.window(fields[source][..., component], tap)

        blocks = {}
        for target in self.out_type.representations:
            mixed = [self._mixed(seen, target, component) for component in range(target.size(image.ndim))]
            blocks[target] = jnp.stack(mixed, axis=-1)
        output = from_block_features(blocks, image)
        return output if self.bias is None else output.with_array(output.array + self.bias.astype(image.array.dtype))

    def _mixed(self, seen: Windows, target: Representation, component: int) -> Float[Array, "*batch_grid out_channels"]:
        """One component of all channels of an output representation."""
        columns, rows = [], []
        for source, reached, filters, _ in paths(self.group, self.in_type, self.out_type, self.stencil.sizes):
            for n, sums in enumerate(filters):
                if reached == target and sums[component]:
                    columns.append(_sum(sums[component], functools.partial(seen, source)))
                    rows.append(self.weights[path_name(source, target)][n])
        mixing = jnp.concatenate(rows).astype(columns[0].dtype)
        return jnp.matmul(jnp.concatenate(columns, axis=-1), mixing, precision=jax.lax.Precision.HIGHEST)


def _sum(
    terms: tuple[Term, ...], seen: Callable[[Index, int], Float[Array, "*batch_grid channels"]]
) -> Float[Array, "*batch_grid channels"]:
    total: Array | float = 0.0
    for coefficient, tap, component in terms:
        value = seen(tap, component)
        total = total - value if coefficient == -1 else total + (value if coefficient == 1 else coefficient * value)
    return jnp.asarray(total)


Path = tuple[Representation, Representation, tuple[Sums, ...], Float[np.ndarray, " filters"]]


def paths(group: Group, in_type: FieldType, out_type: FieldType, sizes: tuple[int, ...]) -> tuple[Path, ...]:
    """Every pair of representations that filters connect, with the sums these form and their sizes.

    Filters are scaled so that their largest entry is 1: nearly all entries then are 1 or -1.
    """
    pairs = itertools.product(in_type.representations, out_type.representations)
    return tuple(
        (source, target, *_sums(group, source, target, sizes))
        for source, target in pairs
        if len(kernel_basis(group, source, target, sizes))
    )


@functools.cache
def _sums(
    group: Group, source: Representation, target: Representation, sizes: tuple[int, ...]
) -> tuple[tuple[Sums, ...], Float[np.ndarray, " filters"]]:
    basis = kernel_basis(group, source, target, sizes)
    scales = abs(basis.filters).max(axis=1).toarray().reshape(-1)
    found = []
    for row, scale in zip(basis.filters, scales, strict=True):
        sums = [list[Term]() for _ in range(basis.target_size)]
        columns = np.unravel_index(row.indices, (*sizes, basis.source_size, basis.target_size))
        for entry, (*tap, component, reached) in zip(
            row.data, zip(*map(np.ndarray.tolist, columns), strict=True), strict=True
        ):
            sums[reached].append(Term(round(float(entry / scale), 12), tuple(tap), component))
        found.append(tuple(map(tuple, sums)))
    return tuple(found), scales
