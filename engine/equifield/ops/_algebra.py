"""Tensor algebra, pixel by pixel: products, contractions and norms.

Each function takes a field, an array `(..., *tensor)` whose last axes are those of the tensor, together with its type,
and gives the new field with its new type. So it serves the array of a `GeometricImage` and the fields `image[tensor]`
of a `MultiImage` alike. They commute with every group.
"""

import functools
import itertools
import string
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..representations import Tensor, scalar
from ._channels import squared_norm

Field = Float[Array, "..."]
TypedField = tuple[Field, Tensor]
LETTERS = string.ascii_lowercase


@functools.cache
def kronecker_delta(ndim: int) -> Float[np.ndarray, "d d"]:
    """The identity matrix, the `Tensor(2)` that every orthogonal transformation leaves alone.

    The invariant tensors of higher even orders are its tensor products and their sums. An array that is one where all
    of four indices agree is none of them: a rotation by 45 degrees changes it.
    """
    return _constant(np.eye(ndim))


@functools.cache
def levi_civita(ndim: int) -> Float[np.ndarray, "..."]:
    """The totally antisymmetric symbol: the sign of each permutation of the axes, an invariant `Tensor(ndim, 1)`."""
    symbol = np.zeros((ndim,) * ndim)
    for permutation in itertools.permutations(range(ndim)):
        symbol[permutation] = round(np.linalg.det(np.eye(ndim)[list(permutation)]))
    return _constant(symbol)


def tensor_product(left: Field, left_type: Tensor, right: Field, right_type: Tensor) -> TypedField:
    """The outer product of two tensors at each pixel, the axes of the left one first.

    Orders and parities add, and the leading axes broadcast.
    """
    left = jnp.expand_dims(left, tuple(range(left.ndim, left.ndim + right_type.order)))
    leading = right.ndim - right_type.order
    right = jnp.expand_dims(right, tuple(range(leading, leading + left_type.order)))
    return left * right, product_type(left_type, right_type)


def product_type(left: Tensor, right: Tensor) -> Tensor:
    """The type of the outer product of two tensors."""
    return Tensor(left.order + right.order, (left.parity + right.parity) % 2, left.covariant + right.covariant)


def contract(field: Field, tensor: Tensor, first: int, second: int) -> TypedField:
    """The sum over equal indices of two axes: the trace of a `Tensor(2)`, a scalar.

    Two indices at the same height are summed with the metric of flat space; with another metric raise or lower one of
    them before. **Raises** `ValueError` unless these are two axes of the tensor.
    """
    return multicontract(field, tensor, ((first, second),))


def multicontract(field: Field, tensor: Tensor, pairs: Sequence[tuple[int, int]]) -> TypedField:
    """The sum over equal indices of several pairs of axes at once; the axes count as before any contraction.

    **Raises** `ValueError` unless all of them are different axes of the tensor.
    """
    contracted = [axis for pair in pairs for axis in pair]
    check_axes("multicontract", tensor, contracted)
    indices = list(LETTERS[: tensor.order])
    for first, second in pairs:
        indices[second] = indices[first]
    kept = [axis for axis in range(tensor.order) if axis not in contracted]
    result = "".join(indices[axis] for axis in kept)
    return jnp.einsum(f"...{''.join(indices)}->...{result}", field), _of_axes(tensor, kept)


def transpose_axes(field: Field, tensor: Tensor, order: Sequence[int]) -> TypedField:
    """The tensor with its axes in another order: axis i of the result is axis `order[i]`.

    **Raises** `ValueError` unless `order` lists every axis once.
    """
    check_axes("transpose_axes", tensor, order)
    if len(order) != tensor.order:
        raise ValueError(f"`transpose_axes` needs all {tensor.order} axes of a {tensor}, not {tuple(order)}.")
    leading = field.ndim - tensor.order
    return jnp.transpose(field, (*range(leading), *(leading + axis for axis in order))), _of_axes(tensor, order)


def levi_civita_contract(field: Field, tensor: Tensor, axes: Sequence[int], ndim: int) -> TypedField:
    """The sum of the field with the Levi-Civita symbol over `ndim - 1` axes; the free index of the symbol comes last.

    An order k becomes k - ndim + 2 and the parity changes. In space, axes (0, 1) of u (x) v give the cross product; in
    the plane, axis 0 of a vector gives it turned by 90 degrees from x to y; on a line, nothing is contracted and an
    axis of length one is added. The new index is down if all the contracted ones are.

    **Raises** `ValueError` unless there are `ndim - 1` different axes of the tensor.
    """
    check_axes("levi_civita_contract", tensor, axes)
    if len(axes) != ndim - 1:
        raise ValueError(
            f"`levi_civita_contract` on {ndim} grid axes contracts exactly {ndim - 1} axes of a tensor, not "
            f"{tuple(axes)}."
        )
    indices = LETTERS[: tensor.order]
    kept = [axis for axis in range(tensor.order) if axis not in axes]
    free = LETTERS[tensor.order]
    symbol = jnp.asarray(levi_civita(ndim), field.dtype)
    formula = (
        f"...{indices},{''.join(indices[axis] for axis in axes)}{free}->...{''.join(indices[a] for a in kept)}{free}"
    )
    down = bool(axes) and all(tensor.covariant[axis] for axis in axes)
    covariant = (*(tensor.covariant[axis] for axis in kept), down)
    array = jnp.einsum(formula, field, symbol, precision=jax.lax.Precision.HIGHEST)
    return array, Tensor(len(covariant), 1 - tensor.parity, covariant)


def norm(field: Field, tensor: Tensor) -> TypedField:
    """The Frobenius norm of each pixel, a true scalar. Its gradient is zero where the field is."""
    return _length(field, tensor).astype(field.dtype), scalar


def normalize(field: Field, tensor: Tensor, over: tuple[int, ...]) -> Field:
    """The field divided by its largest norm over the axes `over`, the grid; a zero field stays zero."""
    length = _length(field, tensor)
    largest = jnp.max(length, axis=over, keepdims=True)
    divisor = jnp.where(largest > 0, largest, 1)
    return (field / jnp.expand_dims(divisor, tuple(range(length.ndim, field.ndim)))).astype(field.dtype)


def check_axes(name: str, tensor: Tensor, axes: Sequence[int]) -> None:
    """**Raises** `ValueError` unless these are different axes of the tensor."""
    if len(set(axes)) != len(axes) or not all(0 <= axis < tensor.order for axis in axes):
        raise ValueError(
            f"`{name}` needs different axes of a tensor, each from 0 to order - 1, but a {tensor} of order "
            f"{tensor.order} was given the axes {tuple(axes)}."
        )


def _length(field: Field, tensor: Tensor) -> Field:
    """The norm in at least float32.

    Scaled by the largest component, whose square may be too small or too large for a float; the root is kept away from
    zero, where it has no derivative.
    """
    values = field.reshape(*field.shape[: field.ndim - tensor.order], -1)
    values = values.astype(jnp.promote_types(field.dtype, jnp.float32))
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(values), axis=-1, keepdims=True))
    scale = jnp.where(largest > 0, largest, 1)
    squares = jnp.where(largest > 0, squared_norm(values / scale), 1)
    return jnp.where(largest > 0, scale * jnp.sqrt(squares), 0)[..., 0]


def _of_axes(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    return Tensor(len(axes), tensor.parity, tuple(tensor.covariant[axis] for axis in axes))


def _constant(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
