"""Parts of tensors that no rotation mixes: trace, antisymmetric part, symmetric traceless part.

As in `_algebra`, a field is an array `(..., *tensor)` with its type.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..representations import Tensor
from ._algebra import (
    Field,
    TypedField,
    check_axes,
    contract,
    kronecker_delta,
    levi_civita,
    levi_civita_contract,
    transpose_axes,
)

Symmetry = Literal["symmetric", "antisymmetric", "trace", "traceless"]
"""A symmetry of matrices: equal to its transpose, opposite to it, a multiple of the identity, or symmetric with trace
zero. On d axes they have d(d+1)/2, d(d-1)/2, 1 and d(d+1)/2 - 1 independent components."""


def symmetric_part(field: Field, tensor: Tensor, first: int = 0, second: int = 1) -> Field:
    """The part that keeps its value when two axes are exchanged. **Raises** `ValueError` as `antisymmetric_part`."""
    return (field + _exchanged("symmetric_part", field, tensor, first, second)) / 2


def antisymmetric_part(field: Field, tensor: Tensor, first: int = 0, second: int = 1) -> Field:
    """The part that changes its sign when two axes are exchanged.

    **Raises** `ValueError` unless these are two axes of the tensor, both up or both down: an exchange of others gives
    a tensor of another type.
    """
    return (field - _exchanged("antisymmetric_part", field, tensor, first, second)) / 2


def trace_part(field: Field, tensor: Tensor, first: int = 0, second: int = 1) -> Field:
    """The part proportional to the identity in two axes: delta times the trace, divided by the number of grid axes.

    **Raises** `ValueError` unless these are two axes of the tensor.
    """
    trace, _ = contract(field, tensor, first, second)
    ndim = field.shape[-1]
    outer = trace[..., None, None] * jnp.asarray(kronecker_delta(ndim) / ndim, field.dtype)
    leading = field.ndim - tensor.order
    return jnp.moveaxis(outer, (-2, -1), (leading + first, leading + second))


def traceless_part(field: Field, tensor: Tensor, first: int = 0, second: int = 1) -> Field:
    """What `trace_part` leaves: the contraction of the two axes is zero. **Raises** `ValueError` as `trace_part`."""
    return field - trace_part(field, tensor, first, second)


def irreducible_parts(field: Field, tensor: Tensor) -> tuple[TypedField, TypedField, TypedField]:
    """The three parts of a tensor of order two that no rotation mixes: trace, antisymmetric and traceless part.

    The trace is a scalar of the same parity. The antisymmetric part A is given as eps_ij A_ij in the plane, a scalar of
    the other parity (of a velocity gradient: the vorticity), and as eps_ijk A_ij in space, a vector of the other
    parity; on other grids as the matrix A. The rest is symmetric with trace zero. **Raises** `ValueError` for another
    order, and for one index up and one down.
    """
    if tensor.order != 2:
        raise ValueError(f"`irreducible_parts` takes apart tensors of order 2, not a {tensor}.")
    ndim = field.shape[-1]
    trace = contract(field, tensor, 0, 1)
    antisymmetric = antisymmetric_part(field, tensor)
    traceless = traceless_part(symmetric_part(field, tensor), tensor)
    return trace, _dual(antisymmetric, tensor, ndim), (traceless, tensor)


def from_irreducible_parts(trace: Field, antisymmetric: Field, traceless: Field, tensor: Tensor) -> Field:
    """The tensor of order two with these parts: the inverse of `irreducible_parts`."""
    ndim = traceless.shape[-1]
    identity = jnp.asarray(kronecker_delta(ndim) / ndim, traceless.dtype)
    if ndim in (2, 3):
        symbol = jnp.asarray(levi_civita(ndim) / 2, traceless.dtype)
        formula = "...,ij->...ij" if ndim == 2 else "...k,ijk->...ij"
        antisymmetric = jnp.einsum(formula, antisymmetric, symbol, precision=jax.lax.Precision.HIGHEST)
    return trace[..., None, None] * identity + antisymmetric + traceless


def independent_components(field: Float[Array, "... d d"], symmetry: Symmetry) -> Float[Array, "... components"]:
    """The components of matrices of one symmetry in an orthonormal basis, so that they have the same norm.

    Of other matrices it takes the part with that symmetry.
    """
    basis = jnp.asarray(_basis(symmetry, field.shape[-1]), field.dtype)
    return jnp.einsum("...ij,nij->...n", field, basis, precision=jax.lax.Precision.HIGHEST)


def from_independent_components(
    components: Float[Array, "... components"], symmetry: Symmetry, ndim: int
) -> Float[Array, "... d d"]:
    """The matrices with these components: the inverse of `independent_components`.

    **Raises** `ValueError` for another number of components than matrices of this symmetry have.
    """
    basis = _basis(symmetry, ndim)
    if components.shape[-1] != len(basis):
        raise ValueError(
            f"A {symmetry} matrix on {ndim} axes has {len(basis)} independent components, not {components.shape[-1]}."
        )
    array = jnp.asarray(basis, components.dtype)
    return jnp.einsum("...n,nij->...ij", components, array, precision=jax.lax.Precision.HIGHEST)


@functools.cache
def _basis(symmetry: Symmetry, ndim: int) -> Float[np.ndarray, "components d d"]:
    """An orthonormal basis of the matrices of one symmetry."""
    identity = np.eye(ndim)
    if symmetry == "trace":
        return np.stack([identity / ndim**0.5])
    first, second = np.triu_indices(ndim, 1)
    units = np.einsum("ik,jl->ijkl", identity, identity)
    upper, lower = units[first, second], units[second, first]
    if symmetry == "antisymmetric":
        return np.asarray((upper - lower) / 2**0.5)
    diagonals = identity if symmetry == "symmetric" else _without_sum(ndim)
    return np.concatenate([np.einsum("ni,ij->nij", diagonals, identity), (upper + lower) / 2**0.5])


def _without_sum(ndim: int) -> Float[np.ndarray, "rows d"]:
    """Orthonormal vectors whose components sum to zero: (1, -1, 0, ..), (1, 1, -2, 0, ..), .., each of unit length."""
    rows, steps = np.tri(ndim - 1, ndim), np.arange(1, ndim)
    rows[steps - 1, steps] = -steps
    return np.asarray(rows / np.sqrt(steps * (steps + 1))[:, None])


def _exchanged(name: str, field: Field, tensor: Tensor, first: int, second: int) -> Field:
    check_axes(name, tensor, (first, second))
    if tensor.covariant[first] != tensor.covariant[second]:
        raise ValueError(
            f"`{name}` exchanges two indices that are both up or both down, but the axes {first} and {second} of a "
            f"{tensor} are not. Raise or lower one of them first."
        )
    order = list(range(tensor.order))
    order[first], order[second] = second, first
    return transpose_axes(field, tensor, order)[0]


def _dual(antisymmetric: Field, tensor: Tensor, ndim: int) -> TypedField:
    if ndim == 2:
        symbol = jnp.asarray(levi_civita(2), antisymmetric.dtype)
        return jnp.sum(antisymmetric * symbol, axis=(-2, -1)), Tensor(0, 1 - tensor.parity)
    if ndim == 3:
        return levi_civita_contract(antisymmetric, tensor, (0, 1), ndim)
    return antisymmetric, tensor
