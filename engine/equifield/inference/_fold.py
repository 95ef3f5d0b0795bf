"""Folding: the same function of plain arrays, without bases."""

from typing import TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..nn import Conv
from ..nn._check import check_type
from ..nn._stencil import Stencil

M = TypeVar("M", bound=eqx.Module)


class FoldedConv(eqx.Module):
    """A `Conv` whose kernel has been expanded once: one dense convolution over all packed features."""

    kernel: Float[Array, "*sizes in_features out_features"]
    bias: Float[Array, " out_features"] | None
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    group: Group = eqx.field(static=True)
    stencil: Stencil = eqx.field(static=True)

    def __init__(self, conv: Conv):
        self.kernel = conv.kernel()
        self.bias = conv.bias()
        self.in_type = conv.in_type
        self.out_type = conv.out_type
        self.group = conv.group
        self.stencil = conv.stencil

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to fields of `out_type`, equal to the convolution it was made from."""
        check_type(self, image, self.in_type, self.group)
        return self.stencil.convolve(image, self.kernel, self.bias, self.out_type)


def fold(model: M) -> M:
    """The model with every `Conv` replaced by an equal `FoldedConv`; for inference, not for training."""
    folded: M = jax.tree.map(
        lambda node: FoldedConv(node) if isinstance(node, Conv) else node,
        model,
        is_leaf=lambda node: isinstance(node, Conv),
    )
    return folded
