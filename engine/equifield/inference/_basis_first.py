"""A convolution that applies the filters before the weights."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..field_type import FieldType
from ..groups import Group
from ..kernels import kernel_basis
from ..multi_image import MultiImage
from ..nn import Conv, Linear
from ..nn._arrangement import blocks_of
from ..nn._check import check_type
from ..nn._filters import path_name
from ..nn._stencil import Stencil
from ..ops._padding import pad_planes
from ..representations import Representation

Index = tuple[int, ...]


class Term(NamedTuple):
    """One entry of a filter: what it multiplies, at which tap, of which component."""

    coefficient: float
    tap: Index
    component: int


Sums = tuple[tuple[Term, ...], ...]
"""For each component of the target, the terms of the sum that one filter forms of its input."""
Path = tuple[Representation, Representation, tuple[Sums, ...], Float[np.ndarray, " filters"]]
"""From where to where, the sums that each filter forms, and the sizes of the filters."""
Reaching = list[tuple[Representation, int, tuple[Term, ...]]]
"""Filters that reach one component of an output: from where, which of that path, and what it sums."""

BLOCK_BYTES = 2**20
"""Sums of more bytes than this are formed in several blocks of the grid, one after the other."""
MOST_BLOCKS, MOST_TERMS = 4, 1000
"""How many blocks there are at most, and terms in all of them together: each takes time to compile."""


class BasisFirstConv(eqx.Module):
    """A `Conv` or `Linear` that first applies each filter to each input channel, then mixes the channels.

    The filters are few and sparse, and hold no weights: applying them takes shifts and sums. What is left is one
    matrix product for each component of the output, over as many rows as filters reach it. For a scalar and a vector
    on 3 x 3 pixels these are 19 products for each pair of channels where an ordinary convolution needs 81. Features
    come first while it computes, so that sums and products run over whole rows of pixels.
    """

    mixing: tuple[tuple[Float[Array, "out_channels sums"], ...], ...]
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
        weights = layer.filters.weights
        dtype = next(iter(weights.values())).dtype
        scaled = {
            path_name(source, target): weights[path_name(source, target)] * scales[:, None, None].astype(dtype)
            for source, target, _, scales in self._paths()
        }
        self.mixing = tuple(
            tuple(
                jnp.concatenate(
                    [
                        jnp.zeros((0, channels), dtype),
                        *(scaled[path_name(source, target)][n] for source, n, _ in reaching),
                    ]
                ).T
                for reaching in self._reaching(target)
            )
            for target, channels in self.out_type
        )

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to fields of `out_type`, as the layer it was made from."""
        check_type(self, image, self.in_type, self.group)
        self.stencil.check(image)
        margins = tuple(self.stencil.margin(axis) for axis in range(image.ndim))
        # Without the barrier XLA makes a padded copy for every tap.
        planes = pad_planes(jnp.moveaxis(image.array, -1, 0), image, margins, margins)
        planes = jax.lax.optimization_barrier(planes)  # type: ignore[no-untyped-call]
        output = self._in_blocks(planes)
        if self.bias is not None:
            output = output + self.bias.astype(output.dtype).reshape(-1, *(1,) * (output.ndim - 1))
        return MultiImage(jnp.moveaxis(output, 0, -1), self.out_type, image.boundary)

    def _in_blocks(
        self, planes: Float[Array, " in_features *batch_padded"]
    ) -> Float[Array, " out_features *batch_grid"]:
        """All output features, from the padded input, some rows of the first axis at a time."""
        axis = planes.ndim - len(self.stencil.sizes)
        stride, reach = self.stencil.stride[0], self.stencil.extents[0] - self.stencil.stride[0]
        rows = (planes.shape[axis] - reach) // stride
        wanted, most = -(-self._bytes_of_sums(planes) // BLOCK_BYTES), MOST_TERMS // max(1, self._terms)
        number = max(1, min(wanted, MOST_BLOCKS, most, rows))
        outputs: list[Array] = []
        for first, last in itertools.pairwise(rows * i // number for i in range(number + 1)):
            begin = stride * first + (_zero_after(jax.lax.stop_gradient(outputs[-1])) if outputs else 0)
            block = jax.lax.dynamic_slice_in_dim(planes, begin, stride * (last - first) + reach, axis)
            outputs.append(self._block(block))
        return jnp.concatenate(outputs, axis)

    def _bytes_of_sums(self, planes: Float[Array, " in_features *batch_padded"]) -> int:
        sums = sum(matrix.shape[1] for matrices in self.mixing for matrix in matrices)
        return sums * planes[0].size * planes.dtype.itemsize // math.prod(self.stencil.stride)

    def _block(self, planes: Float[Array, " in_features *batch_padded"]) -> Float[Array, " out_features *batch_grid"]:
        fields = blocks_of(planes, self.in_type, self.group.dimension)

        @functools.cache
        def seen(source: Representation, tap: Index, component: int) -> Float[Array, " channels *batch_grid"]:
            return self.stencil.window(fields[source][:, component], tap)

        none = seen(self.in_type.representations[0], (0,) * len(self.stencil.sizes), 0)[:0]

        def mixed(reaching: Reaching, mixing: Float[Array, "out_channels sums"]) -> Array:
            sums = [_sum(terms, functools.partial(seen, source)) for source, _, terms in reaching]
            stacked = jnp.concatenate([none, *sums])
            flat = stacked.reshape(len(stacked), math.prod(none.shape[1:]))
            product = jnp.matmul(mixing.astype(flat.dtype), flat, precision=jax.lax.Precision.HIGHEST)
            return product.reshape(len(mixing), *none.shape[1:])

        blocks = []
        for target, mixing in zip(self.out_type.representations, self.mixing, strict=True):
            components = [mixed(*pair) for pair in zip(self._reaching(target), mixing, strict=True)]
            stacked = jnp.stack(components, axis=1)
            blocks.append(stacked.reshape(stacked.shape[0] * stacked.shape[1], *none.shape[1:]))
        return jnp.concatenate(blocks)

    @property
    def _terms(self) -> int:
        return sum(len(terms) for _, _, filters, _ in self._paths() for sums in filters for terms in sums)

    def _paths(self) -> tuple[Path, ...]:
        return paths(self.group, self.in_type, self.out_type, self.stencil.sizes)

    def _reaching(self, target: Representation) -> list[Reaching]:
        """For each component of an output representation the filters that reach it."""
        return [
            [
                (source, n, sums[component])
                for source, reached, filters, _ in self._paths()
                for n, sums in enumerate(filters)
                if reached == target and sums[component]
            ]
            for component in range(target.size(self.group.dimension))
        ]


@jax.custom_batching.custom_vmap
def _zero_after(output: Float[Array, "..."]) -> Int[Array, ""]:
    """Zero, but known only when `output` is: what needs it waits, so that its memory can be that of the block before.

    XLA on CPUs would otherwise hold the sums of all blocks at once; it drops optimisation barriers.
    """
    return (output.reshape(-1)[0] > jnp.inf).astype(jnp.int32)


@_zero_after.def_vmap
def _zero_after_all(size: int, batched: list[bool], output: Float[Array, "..."]) -> tuple[Int[Array, ""], bool]:
    return _zero_after(output), False


def _sum(
    terms: tuple[Term, ...], seen: Callable[[Index, int], Float[Array, " channels *batch_grid"]]
) -> Float[Array, " channels *batch_grid"]:
    total: Array | float = 0.0
    for coefficient, tap, component in terms:
        value = seen(tap, component)
        total = total - value if coefficient == -1 else total + (value if coefficient == 1 else coefficient * value)
    return jnp.asarray(total)


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
            sums[reached].append(Term(_snapped(float(entry / scale)), tuple(tap), component))
        found.append(tuple(map(tuple, sums)))
    return tuple(found), scales


def _snapped(coefficient: float) -> float:
    """1 and -1 where they are meant: these need no product."""
    return math.copysign(1.0, coefficient) if abs(abs(coefficient) - 1) < 1e-12 else coefficient
