"""ginjax's U-Net."""

from collections.abc import Sequence

from jaxtyping import PRNGKeyArray

from ...field_type import FieldType
from ...groups import Group
from ...models import AbstractNetwork
from ...models._block import check_halvings, in_series
from ...multi_image import MultiImage
from ...ops import concatenate
from ._biased_conv import BiasedConv
from ._block import Builder, ConvBlock
from ._first_max_pool import FirstMaxPool


class GinjaxUNet(AbstractNetwork):
    """The function of ginjax's `UNet`: down to coarser grids and up again, with bridges between equal grids.

    Ronneberger et al. 2015, U-Net; for tensor images arXiv:2305.12585. Down by max pooling, up by transposed
    convolutions with filters of 2 pixels a side; every coarser level has twice the channels. It commutes with the
    group as far as ginjax's does: not on images in which norms tie, nor where a pseudoscalar has been shifted by a
    trained norm.
    """

    embedding: tuple[ConvBlock, ...]
    down: tuple[tuple[ConvBlock, ...], ...]
    up: tuple[tuple[BiasedConv, tuple[ConvBlock, ...]], ...]
    decode: BiasedConv
    pool: FirstMaxPool

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        hidden: FieldType,
        num_downsamples: int = 4,
        num_conv: int = 2,
        kernel_size: int = 3,
        use_bias: str | bool = "auto",
        activation: str | None = "gelu",
        use_group_norm: bool = False,
        filter_orders: Sequence[int] = (0, 1, 2),
        filter_parities: Sequence[int] = (0, 1),
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - num_downsamples: how often the grid is halved.
        - num_conv: the number of convolutions on each level.
        - use_group_norm: whether every block normalises after its convolution.
        - filter_orders, filter_parities: the `ks` and `parities` of both `conv_filters` and `upsample_filters`.
        - All others are those of `GinjaxResNet`; `hidden` are the fields on the finest grid.

        **Raises:** `ValueError` for an output that is not reached, and where ginjax itself would fail.
        """
        build = Builder(
            group,
            in_type,
            kernel_size=kernel_size,
            use_bias=use_bias,
            activation=activation,
            filter_orders=filter_orders,
            filter_parities=filter_parities,
            key=key,
        )

        def level(source: FieldType, target: FieldType) -> tuple[ConvBlock, ...]:
            sources = (source,) + (target,) * (num_conv - 1)
            return tuple(build.block(taken, target, use_group_norm=use_group_norm) for taken in sources)

        levels = [hidden.scaled(2**depth) for depth in range(num_downsamples + 1)]
        self.embedding = level(in_type, hidden)
        bridges, down = [], []
        for fine, coarse in zip(levels[:-1], levels[1:], strict=True):
            bridges.append(build.carried)
            down.append(level(fine, coarse))
        up = []
        for fine, coarse in zip(levels[-2::-1], levels[:0:-1], strict=True):
            upsample = build.conv(coarse, fine, upsample=True)
            if set(build.carried) != set(bridges.pop()):
                raise ValueError(
                    "A level of ginjax's U-Net would receive other types from the coarser grid than over the bridge, "
                    "and fail. Use a hidden type, or filters, that reach every type from every other."
                )
            up.append((upsample, level(coarse, fine)))
        self.down, self.up = tuple(down), tuple(up)
        self.decode = build.conv(hidden, out_type)
        self.pool = FirstMaxPool()
        build.finish(out_type)

    @property
    def translation_step(self) -> int:
        """The network commutes with translations by multiples of this many pixels."""
        return int(2 ** len(self.down))

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on the same grid.

        **Raises:** `ValueError` when a side is not a multiple of `translation_step`, with the sides that are.
        """
        check_halvings(self, image)
        image = in_series(self.embedding, image)
        bridges = []
        for blocks in self.down:
            bridges.append(image)
            image = in_series(blocks, self.pool(image))
        for upsample, blocks in self.up:
            image = in_series(blocks, concatenate(upsample(image), bridges.pop()))
        return self.decode(image)
