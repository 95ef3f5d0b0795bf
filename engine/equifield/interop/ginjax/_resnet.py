"""ginjax's residual networks."""

from collections.abc import Sequence

from jaxtyping import PRNGKeyArray

from ...field_type import FieldType
from ...groups import Group
from ...models import AbstractNetwork
from ...models._block import in_series
from ...multi_image import MultiImage
from ._block import Builder, ConvBlock

DILATIONS = (1, 2, 4, 8, 4, 2, 1)


class GinjaxResNet(AbstractNetwork):
    """The function of ginjax's `ResNet`: two blocks, residual blocks, two blocks.

    He et al. 2016, Identity mappings in deep residual networks; for tensor images arXiv:2305.12585. It commutes with
    the group as far as ginjax's does: not where a pseudoscalar has been shifted by a trained norm.
    """

    encoder: tuple[ConvBlock, ...]
    blocks: tuple[tuple[ConvBlock, ...], ...]
    decoder: tuple[ConvBlock, ...]

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        hidden: FieldType,
        num_blocks: int = 8,
        num_conv: int = 2,
        kernel_size: int = 3,
        use_bias: str | bool = "auto",
        activation: str | None = "gelu",
        use_group_norm: bool = True,
        preactivation_order: bool = True,
        filter_orders: Sequence[int] = (0, 1, 2),
        filter_parities: Sequence[int] = (0, 1),
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - group: the group whose filters the network uses.
        - in_type, out_type: the fields taken and given.
        - hidden: the fields between the layers; ginjax's `mid_keys`, or the union of input and output with `depth`
            channels of each.
        - num_blocks, num_conv: the number of residual blocks, and of convolutions in each.
        - kernel_size: the odd side M of ginjax's `conv_filters`.
        - use_bias: `"auto"`, `"mean"`, `"scalar"` or False.
        - activation: the name of an elementwise function, such as `"gelu"`; None for none.
        - use_group_norm: whether the residual blocks normalise.
        - preactivation_order: whether they do so, and apply the activation, before the convolution.
        - filter_orders, filter_parities: the `ks` and `parities` of ginjax's `conv_filters`.
        - key: randomness of the initial weights.

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
        dilations = (1,) * num_conv
        self.encoder = (build.block(in_type, hidden), build.block(hidden, hidden))
        self.blocks = tuple(
            build.residual(hidden, dilations, use_group_norm=use_group_norm, preactivation=preactivation_order)
            for _ in range(num_blocks)
        )
        self.decoder = (build.block(hidden, hidden), build.block(hidden, out_type, activate=False))
        build.finish(out_type)

    @property
    def translation_step(self) -> int:
        """The network commutes with translations by multiples of this many pixels."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on the same grid."""
        return _residual(image, self.encoder, self.blocks, self.decoder)


class GinjaxDilResNet(AbstractNetwork):
    """The function of ginjax's `DilResNet`: a residual network whose blocks dilate by 1, 2, 4, 8, 4, 2 and 1 pixels.

    Stachenfeld et al. 2021, Learned coarse models for efficient turbulence simulation; for tensor images
    arXiv:2305.12585.
    """

    encoder: tuple[ConvBlock, ...]
    blocks: tuple[tuple[ConvBlock, ...], ...]
    decoder: tuple[ConvBlock, ...]

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        hidden: FieldType,
        num_blocks: int = 4,
        kernel_size: int = 3,
        use_bias: str | bool = "auto",
        activation: str | None = "relu",
        use_group_norm: bool = False,
        filter_orders: Sequence[int] = (0, 1, 2),
        filter_parities: Sequence[int] = (0, 1),
        key: PRNGKeyArray,
    ):
        """Arguments and errors as those of `GinjaxResNet`; the norm, if any, follows the convolution."""
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
        self.encoder = (build.block(in_type, hidden), build.block(hidden, hidden))
        self.blocks = tuple(build.residual(hidden, DILATIONS, use_group_norm=use_group_norm) for _ in range(num_blocks))
        self.decoder = (build.block(hidden, hidden), build.block(hidden, out_type, activate=False))
        build.finish(out_type)

    @property
    def translation_step(self) -> int:
        """The network commutes with translations by multiples of this many pixels."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on the same grid."""
        return _residual(image, self.encoder, self.blocks, self.decoder)


def _residual(
    image: MultiImage,
    encoder: tuple[ConvBlock, ...],
    blocks: tuple[tuple[ConvBlock, ...], ...],
    decoder: tuple[ConvBlock, ...],
) -> MultiImage:
    image = in_series(encoder, image)
    for residual in blocks:
        image = in_series(residual, image) + image
    return in_series(decoder, image)
