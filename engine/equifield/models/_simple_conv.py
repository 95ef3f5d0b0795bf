"""Convolutions in series."""

import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..nn import Conv
from ..ops._per_axis import PerAxis
from ._block import ConvBlock, Recipe, at_least_one, in_series
from ._network import AbstractNetwork


class SimpleConv(AbstractNetwork):
    """Convolutions in series, with a nonlinearity between each and the next.

    Takes any grid and commutes with every translation along periodic axes and every element of the group.
    """

    lift: Conv
    blocks: tuple[ConvBlock, ...]

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        hidden: FieldType,
        num_convs: int = 4,
        kernel_size: PerAxis = 3,
        activation: str = "gelu",
        norm_groups: int | None = None,
        use_bias: bool = True,
        products: bool = False,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - group: the group the network commutes with.
        - in_type, out_type: the fields taken and given.
        - hidden: the fields between the convolutions.
        - num_convs: the number of convolutions; one alone is a linear map.
        - kernel_size: the odd side of every kernel, one number or one per axis.
        - activation: the name of the activation.
        - norm_groups: into how many groups the channels are normalised; 1 is layer normalisation, None is none.
        - use_bias: whether convolutions add a learned invariant constant.
        - products: whether each nonlinearity also adds learned, bounded products of the fields (`TensorProduct`), as
            equations of motion have them.
        - key: randomness of the initial weights.
        """
        at_least_one(self, num_convs=num_convs)
        recipe = Recipe(group, kernel_size, activation, norm_groups, use_bias, products)
        types = (in_type, *[hidden] * (num_convs - 1), out_type)
        first, second = jr.split(key)
        self.lift = recipe.conv(types[0], types[1], key=first)
        self.blocks = recipe.series(types[1:], dilations=(1,) * (num_convs - 1), key=second)

    @property
    def translation_step(self) -> int:
        """The network commutes with translations by multiples of this many pixels."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on the same grid."""
        return in_series(self.blocks, self.lift(image))
