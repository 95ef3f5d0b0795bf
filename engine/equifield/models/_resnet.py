"""A residual network at one resolution."""

import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..nn import Conv
from ..ops._per_axis import PerAxis
from ._block import ConvBlock, Recipe, at_least_one, in_series
from ._network import AbstractNetwork


class ResNet(AbstractNetwork):
    """A lifting convolution, residual blocks of a few convolutions each, and a projecting convolution.

    Takes any grid and commutes with every translation along periodic axes and every element of the group
    (He et al. 2016, Identity mappings in deep residual networks; for tensor images arXiv:2305.12585).
    """

    lift: Conv
    blocks: tuple[tuple[ConvBlock, ...], ...]
    project: Conv

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        hidden: FieldType,
        num_blocks: int = 4,
        num_convs: int = 2,
        kernel_size: PerAxis = 3,
        activation: str = "gelu",
        norm_groups: int | None = 1,
        use_bias: bool = True,
        products: bool = False,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - group: the group the network commutes with.
        - in_type, out_type: the fields taken and given.
        - hidden: the fields between the layers.
        - num_blocks: the number of residual blocks.
        - num_convs: the number of convolutions in each block.
        - kernel_size: the odd side of every kernel, one number or one per axis.
        - activation: the name of the activation.
        - norm_groups: into how many groups the channels are normalised; 1 is layer normalisation, None is none.
        - use_bias: whether convolutions add a learned invariant constant.
        - products: whether each nonlinearity also adds learned, bounded products of the fields (`TensorProduct`), as
            equations of motion have them.
        - key: randomness of the initial weights.
        """
        at_least_one(self, num_blocks=num_blocks, num_convs=num_convs)
        recipe = Recipe(group, kernel_size, activation, norm_groups, use_bias, products)
        first, last, *inner = jr.split(key, 2 + num_blocks)
        self.lift = recipe.conv(in_type, hidden, key=first)
        self.blocks = tuple(
            recipe.branch(hidden, dilations=(1,) * num_convs, branches=num_blocks, key=subkey) for subkey in inner
        )
        self.project = recipe.conv(hidden, out_type, key=last)

    @property
    def translation_step(self) -> int:
        """The network commutes with translations by multiples of this many pixels."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on the same grid."""
        image = self.lift(image)
        for block in self.blocks:
            image = image + in_series(block, image)
        return self.project(image)
