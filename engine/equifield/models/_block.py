"""The building blocks that the architectures share."""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..nn import Conv, GroupNorm, TensorProduct, VectorNeuron, activation_named
from ..ops._per_axis import PerAxis
from ._network import AbstractNetwork

Layer = Callable[[MultiImage], MultiImage]

EPS = 1.0
"""The squared length below which a vector neuron's direction fades: that of normalised fields. Where a symmetric input
leaves no direction, a rounding error gets one, magnified by up to `EPS**-0.5`."""

BOUND = 1.0
"""The root mean square beyond which products of fields no longer grow: that of normalised fields. Where a forecast goes
on from its own states, products that grow as squares soon leave every bound."""


class ConvBlock(eqx.Module):
    """Perhaps a normalisation, nonlinearities side by side and a convolution, in this order (pre-activation)."""

    norm: GroupNorm | None
    nonlinearity: VectorNeuron
    products: TensorProduct | None
    conv: Conv

    def __call__(self, image: MultiImage) -> MultiImage:
        if self.norm is not None:
            image = self.norm(image)
        bent = self.nonlinearity(image)
        return self.conv(bent if self.products is None else bent + self.products(image))


@dataclass(frozen=True)
class Recipe:
    """How every layer of a network is made: the options that the architectures share.

    - group: the group that the layers commute with.
    - kernel_size: the odd side of every kernel, one number or one per axis.
    - activation: the name of the activation in the vector neurons.
    - norm_groups: into how many groups the channels are normalised; None for no normalisation.
    - use_bias: whether convolutions add a learned invariant constant.
    - products: whether learned products of the fields are added to what the vector neurons give.
    """

    group: Group
    kernel_size: PerAxis
    activation: str
    norm_groups: int | None
    use_bias: bool
    products: bool

    def __post_init__(self) -> None:
        sides = (self.kernel_size,) if isinstance(self.kernel_size, int) else self.kernel_size
        if any(side % 2 == 0 for side in sides):
            raise ValueError(
                f"A network with `kernel_size={self.kernel_size}` does not keep the grid: the outputs of an even "
                f"kernel lie between the pixels. Use odd sides."
            )

    def conv(self, in_type: FieldType, out_type: FieldType, *, dilation: int = 1, key: PRNGKeyArray) -> Conv:
        """A convolution that keeps the grid."""
        return Conv(
            self.group,
            in_type,
            out_type,
            kernel_size=self.kernel_size,
            dilation=dilation,
            use_bias=self.use_bias,
            key=key,
        )

    def series(
        self, types: Sequence[FieldType], *, dilations: Sequence[int], key: PRNGKeyArray
    ) -> tuple[ConvBlock, ...]:
        """Blocks from each type to the next, the first of which normalises.

        Normalising once is enough, and each time more would magnify rounding errors: in a field that vanishes because
        the input is symmetric they grow as the other fields are scaled up to unit variance after every activation.
        """
        blocks = []
        for i, (source, target) in enumerate(itertools.pairwise(types)):
            key, first, second = jr.split(key, 3)
            norm = None if i or self.norm_groups is None else GroupNorm(source, groups=self.norm_groups)
            nonlinearity = VectorNeuron(source, activation=activation_named(self.activation), eps=EPS, key=first)
            products = None
            if self.products:
                key, third = jr.split(key)
                products = TensorProduct(self.group, source, source, bound=BOUND, key=third)
            conv = self.conv(source, target, dilation=dilations[i], key=second)
            blocks.append(ConvBlock(norm, nonlinearity, products, conv))
        return tuple(blocks)

    def branch(
        self, field_type: FieldType, *, dilations: Sequence[int], branches: int, key: PRNGKeyArray
    ) -> tuple[ConvBlock, ...]:
        """One of several residual branches, with a block for each dilation.

        The initial weights of its last convolution are smaller by the root of the number of branches. So the variance
        of the sum, and how much it magnifies a disturbance, do not grow with depth (Hayou et al. 2021, Stable ResNet).
        """
        *blocks, last = self.series([field_type] * (len(dilations) + 1), dilations=dilations, key=key)
        conv = jax.tree.map(lambda weight: weight / math.sqrt(branches), last.conv)
        return (*blocks, eqx.tree_at(lambda block: block.conv, last, conv))


def in_series(layers: Iterable[Layer], image: MultiImage) -> MultiImage:
    """The layers applied one after the other."""
    return functools.reduce(lambda image, layer: layer(image), layers, image)


def check_halvings(network: AbstractNetwork, image: MultiImage) -> None:
    """**Raises** `ValueError` for a side that cannot be halved as often as a U-Net does, with sides that can."""
    step = network.translation_step
    if any(side % step for side in image.grid):
        fits = [f"{side // step * step or step} or {(side // step + 1) * step}" for side in image.grid]
        raise ValueError(
            f"`{type(network).__name__}` halves the grid {int(math.log2(step))} times and needs sides that are "
            f"multiples of {step}, but the grid is {image.grid}. Sides that work: {' x '.join(fits)}."
        )


def at_least_one(network: eqx.Module, **counts: int) -> None:
    """**Raises** `ValueError` for a network without layers."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"`{type(network).__name__}({name}={count})` needs at least one.")
