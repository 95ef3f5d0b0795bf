"""A residual network from a grid to a finer one."""

import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..nn import Conv
from ..ops._per_axis import PerAxis
from ._block import ConvBlock, Recipe, at_least_one, in_series
from ._network import AbstractNetwork


class SuperResolution(AbstractNetwork):
    """A `ResNet` that refines the grid behind most of its blocks, where the pixels are still few.

    A transposed convolution cuts every pixel into `factor` finer ones along each axis (Lim et al. 2017, Enhanced deep
    residual networks for single image super-resolution). Takes any grid and commutes with every translation along
    periodic axes and every element of the group. Inside of `Residual` it says what an interpolation misses.
    """

    lift: Conv
    blocks: tuple[tuple[ConvBlock, ...], ...]
    refine: Conv
    fine_blocks: tuple[tuple[ConvBlock, ...], ...]
    project: Conv

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        hidden: FieldType,
        factor: int = 2,
        num_blocks: int = 4,
        num_fine_blocks: int = 1,
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
        - factor: how many times finer the grid becomes along each axis.
        - num_blocks: the number of residual blocks on the grid of the input.
        - num_fine_blocks: the number of residual blocks on the fine grid.
        - num_convs: the number of convolutions in each block.
        - kernel_size: the odd side of every kernel, one number or one per axis.
        - activation: the name of the activation.
        - norm_groups: into how many groups the channels are normalised; 1 is layer normalisation, None is none.
        - use_bias: whether convolutions add a learned invariant constant.
        - products: whether each nonlinearity also adds learned, bounded products of the fields (`TensorProduct`), as
            equations of motion have them.
        - key: randomness of the initial weights.
        """
        at_least_one(self, factor=factor, num_blocks=num_blocks, num_fine_blocks=num_fine_blocks, num_convs=num_convs)
        recipe = Recipe(group, kernel_size, activation, norm_groups, use_bias, products)
        branches = num_blocks + num_fine_blocks
        first, between, last, *inner = jr.split(key, 3 + branches)
        blocks = [recipe.branch(hidden, dilations=(1,) * num_convs, branches=branches, key=subkey) for subkey in inner]
        self.lift = recipe.conv(in_type, hidden, key=first)
        self.blocks = tuple(blocks[:num_blocks])
        self.refine = Conv(
            group, hidden, hidden, kernel_size=factor, stride=factor, transposed=True, use_bias=False, key=between
        )
        self.fine_blocks = tuple(blocks[num_blocks:])
        self.project = recipe.conv(hidden, out_type, key=last)

    @property
    def translation_step(self) -> int:
        """The network commutes with translations by multiples of this many pixels of its input."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on a grid `factor` times finer."""
        image = self.lift(image)
        for block in self.blocks:
            image = image + in_series(block, image)
        image = self.refine(image)
        for block in self.fine_blocks:
            image = image + in_series(block, image)
        return self.project(image)
