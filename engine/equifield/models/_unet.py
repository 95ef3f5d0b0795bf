"""A network over several resolutions."""

import math

import jax
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..nn import Conv, Linear, MaxNormPool
from ..ops._per_axis import PerAxis
from ._block import ConvBlock, Recipe, at_least_one, check_halvings, in_series
from ._network import AbstractNetwork


class UNet(AbstractNetwork):
    """An encoder that halves the grid, a decoder that doubles it, and a bridge at every resolution.

    Each halving doubles the channels (Ronneberger et al. 2015, U-Net; for tensor images arXiv:2305.12585). The
    convolutions of each level are a residual branch, as in `ResNet`. Sides must be multiples of `translation_step`,
    and only translations by multiples of it commute.
    """

    lift: Conv
    encoders: tuple[tuple[ConvBlock, ...], ...]
    wideners: tuple[Linear, ...]
    bottom: tuple[ConvBlock, ...]
    refiners: tuple[Conv, ...]
    skips: tuple[Linear, ...]
    decoders: tuple[tuple[ConvBlock, ...], ...]
    project: Conv
    pool: MaxNormPool

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        hidden: FieldType,
        num_downsamples: int = 2,
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
        - hidden: the fields at full resolution; every coarser level has twice the channels of the finer.
        - num_downsamples: how often the grid is halved.
        - num_convs: the number of convolutions at each level, on the way down and on the way up.
        - kernel_size: the odd side of every kernel, one number or one per axis.
        - activation: the name of the activation.
        - norm_groups: into how many groups the channels are normalised; 1 is layer normalisation, None is none.
        - use_bias: whether convolutions add a learned invariant constant.
        - products: whether each nonlinearity also adds learned, bounded products of the fields (`TensorProduct`), as
            equations of motion have them.
        - key: randomness of the initial weights.
        """
        at_least_one(self, num_downsamples=num_downsamples, num_convs=num_convs)
        recipe = Recipe(group, kernel_size, activation, norm_groups, use_bias, products)
        levels = [hidden.scaled(2**level) for level in range(num_downsamples + 1)]
        pairs = list(zip(levels[:-1], levels[1:], strict=True))
        keys = iter(jr.split(key, 3 + 5 * num_downsamples))

        def branch(field_type: FieldType) -> tuple[ConvBlock, ...]:
            dilations = (1,) * num_convs
            return recipe.branch(field_type, dilations=dilations, branches=2 * num_downsamples + 1, key=next(keys))

        def refine(coarse: FieldType, fine: FieldType) -> Conv:
            return Conv(group, coarse, fine, kernel_size=2, stride=2, transposed=True, use_bias=False, key=next(keys))

        self.lift = recipe.conv(in_type, hidden, key=next(keys))
        self.encoders = tuple(branch(fine) for fine, _ in pairs)
        self.wideners = tuple(Linear(group, fine, coarse, use_bias=False, key=next(keys)) for fine, coarse in pairs)
        self.bottom = branch(levels[-1])
        refiners = tuple(refine(coarse, fine) for fine, coarse in reversed(pairs))
        skips = tuple(Linear(group, fine, fine, use_bias=False, key=next(keys)) for fine, _ in reversed(pairs))
        # What they give is added: each gives half of the variance.
        self.refiners, self.skips = jax.tree.map(lambda weight: weight / math.sqrt(2), (refiners, skips))
        self.decoders = tuple(branch(fine) for fine, _ in reversed(pairs))
        self.project = recipe.conv(hidden, out_type, key=next(keys))
        self.pool = MaxNormPool(2, signed_scalars=True)

    @property
    def translation_step(self) -> int:
        """The network commutes with translations by multiples of this many pixels."""
        return int(2 ** len(self.encoders))

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on the same grid.

        **Raises:** `ValueError` when a side is not a multiple of `translation_step`, with the sides that are.
        """
        check_halvings(self, image)
        image = self.lift(image)
        bridges = []
        for encoder, widen in zip(self.encoders, self.wideners, strict=True):
            bridges.append(image + in_series(encoder, image))
            image = widen(self.pool(bridges[-1]))
        image = image + in_series(self.bottom, image)
        for refine, skip, decoder in zip(self.refiners, self.skips, self.decoders, strict=True):
            image = skip(bridges.pop()) + refine(image)
            image = image + in_series(decoder, image)
        return self.project(image)
