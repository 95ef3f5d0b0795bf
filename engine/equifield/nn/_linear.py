"""Mixing channels pixel by pixel."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ._check import check_type
from ._filters import Filters, InvariantBias
from ._stencil import Stencil


class Linear(eqx.Module):
    """Maps the value at each pixel by every linear map that commutes with the group, and mixes the channels.

    By Schur's lemma these maps join only what shares an irreducible part: a scalar reaches a tensor of order two by
    the identity matrix, and a vector not at all. One matrix product per pixel.
    """

    filters: Filters
    constant: InvariantBias | None
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    group: Group = eqx.field(static=True)

    def __init__(
        self, group: Group, in_type: FieldType, out_type: FieldType, *, use_bias: bool = True, key: PRNGKeyArray
    ):
        """**Arguments:**

        - group: the group the layer commutes with.
        - in_type, out_type: the fields taken and given.
        - use_bias: whether to add a learned invariant constant.
        - key: randomness of the initial weights, which keep the variance of unit normal input.

        **Raises:** `ValueError` for an output that no input can reach.
        """
        self.group = group
        self.in_type = in_type
        self.out_type = out_type
        self.filters = Filters(group, in_type, out_type, sizes=(1,) * group.dimension, key=key)
        self.constant = InvariantBias(group, out_type) if use_bias else None

    @property
    def stencil(self) -> Stencil:
        """That of a convolution with a kernel of one pixel."""
        return Stencil.on(self.group, 1, 1, 1, transposed=False)

    def matrix(self) -> Float[Array, "in_features out_features"]:
        """The matrix applied to every packed pixel."""
        kernel = self.filters.kernel()
        return kernel.reshape(kernel.shape[-2:])

    def bias(self) -> Float[Array, " out_features"] | None:
        """The constant added to every pixel; None without one."""
        return None if self.constant is None else self.constant.packed()

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to fields of `out_type` on the same grid. **Raises** `ValueError` for others."""
        check_type(self, image, self.in_type, self.group)
        matrix = self.matrix().astype(image.array.dtype)
        array = jnp.matmul(image.array, matrix, precision=jax.lax.Precision.HIGHEST)
        bias = self.bias()
        if bias is not None:
            array = array + bias.astype(array.dtype)
        return MultiImage(array, self.out_type, image.boundary)
