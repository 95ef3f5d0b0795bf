"""A convolution whose kernel has been expanded."""

import equinox as eqx
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..nn import Conv, Linear
from ..nn._check import check_type
from ..nn._stencil import Stencil


class DenseConv(eqx.Module):
    """A `Conv` or `Linear` as one ordinary convolution over all packed features, its kernel expanded once."""

    kernel: Float[Array, "*sizes in_features out_features"]
    bias: Float[Array, " out_features"] | None
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    group: Group = eqx.field(static=True)
    stencil: Stencil = eqx.field(static=True)

    def __init__(self, layer: Conv | Linear):
        """The equal form of a layer."""
        self.kernel = layer.filters.kernel()
        self.bias = layer.bias()
        self.in_type = layer.in_type
        self.out_type = layer.out_type
        self.group = layer.group
        self.stencil = layer.stencil

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `in_type` to fields of `out_type`, as the layer it was made from."""
        check_type(self, image, self.in_type, self.group)
        return self.stencil.convolve(image, self.kernel, self.bias, self.out_type)
