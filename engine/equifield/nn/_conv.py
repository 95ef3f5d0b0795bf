"""The equivariant convolution."""

import math

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..ops._per_axis import PerAxis
from ._check import check_type
from ._filters import Filters, InvariantBias
from ._stencil import Stencil


class Conv(eqx.Module):
    """Convolves every input field with every filter that the group allows, and mixes the channels.

    Commutes with the group because its kernel satisfies K(g a) = rho_out(g) K(a) rho_in(g)^-1 (Weiler and Cesa 2019,
    General E(2)-equivariant steerable CNNs; for tensor images arXiv:2305.12585). As everywhere in deep learning, it
    correlates: the output at x is the sum over offsets a of K(a) applied to the input at x + a. Beyond its edges the
    image continues as its boundary says. The bias lives in the invariant vectors of each output representation, so
    a true scalar has one and a vector has none.
    """

    filters: Filters
    constant: InvariantBias | None
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    group: Group = eqx.field(static=True)
    stencil: Stencil = eqx.field(static=True)

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        kernel_size: PerAxis = 3,
        stride: PerAxis = 1,
        dilation: PerAxis = 1,
        transposed: bool = False,
        use_bias: bool = True,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - group: the group the layer commutes with; its dimension is the number of grid axes.
        - in_type, out_type: the fields taken and given.
        - kernel_size: the side of the kernel in pixels; 1 mixes channels pixel by pixel. This and the next two are one
            number, or one per axis where the group does not exchange unequal axes.
        - stride: keeps one output per `stride` pixels.
        - dilation: the distance in pixels between neighbouring taps of the kernel.
        - transposed: goes the other way, from the grid that a strided convolution gives to the one it takes.
        - use_bias: whether to add a learned invariant constant.
        - key: randomness of the initial weights, which keep the variance of unit normal input.

        **Raises:** `ValueError` for an output that no input can reach, and for settings that the group does not
        preserve.
        """
        self.group = group
        self.in_type = in_type
        self.out_type = out_type
        self.stencil = Stencil.on(group, kernel_size, stride, dilation, transposed)
        share = 1 / math.prod(self.stencil.stride) if transposed else 1.0
        self.filters = Filters(group, in_type, out_type, sizes=self.stencil.sizes, share=share, key=key)
        self.constant = InvariantBias(group, out_type) if use_bias else None

    def kernel(self) -> Float[Array, "*sizes in_features out_features"]:
        """The kernel of one ordinary convolution over all packed features."""
        return self.filters.kernel()

    def bias(self) -> Float[Array, " out_features"] | None:
        """The constant added to every pixel; None without one."""
        return None if self.constant is None else self.constant.packed()

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type`.

        Stride 1 and an odd kernel keep the grid; an even kernel gives the n-1 points between n pixels. Stride s divides
        a side by s, a transposed layer multiplies it, when kernel extent and stride are both odd or both even.

        **Raises:** `ValueError` when the image has another type or number of axes, and for a grid on which the outputs
        cannot lie symmetrically, with sides that work.
        """
        check_type(self, image, self.in_type, self.group)
        return self.stencil.convolve(image, self.kernel(), self.bias(), self.out_type)
