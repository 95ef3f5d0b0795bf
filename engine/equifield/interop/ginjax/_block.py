"""The block that ginjax's networks are made of, and what it takes to build one after another."""

from collections.abc import Sequence

import equinox as eqx
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ...field_type import FieldType
from ...groups import Group
from ...multi_image import MultiImage
from ._biased_conv import BiasedConv
from ._filter_set import tensors
from ._vector_neuron import SignedVectorNeuron
from ._whitening_norm import WhiteningNorm


class ConvBlock(eqx.Module):
    """Convolution, norm and nonlinearity; in pre-activation order norm, nonlinearity and convolution."""

    conv: BiasedConv
    norm: WhiteningNorm | None
    nonlinearity: SignedVectorNeuron | None
    preactivation: bool = eqx.field(static=True)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `conv.conv.in_type` to fields of `conv.conv.out_type`."""
        if self.preactivation:
            return self.conv(self._activate(image))
        return self._activate(self.conv(image))

    def _activate(self, image: MultiImage) -> MultiImage:
        image = image if self.norm is None else self.norm(image)
        return image if self.nonlinearity is None else self.nonlinearity(image)


class Builder:
    """Builds the layers of one network in the order in which they are applied.

    `carried` are the types that an image carries after the last of them, in the order in which ginjax finds them.
    """

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        *,
        kernel_size: int,
        use_bias: str | bool,
        activation: str | None,
        filter_orders: Sequence[int],
        filter_parities: Sequence[int],
        key: PRNGKeyArray,
    ):
        self.group = group
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.activation = activation
        self.filter_orders = tuple(filter_orders)
        self.filter_parities = tuple(filter_parities)
        self.carried = tensors(in_type)
        self._key = key

    def conv(self, in_type: FieldType, out_type: FieldType, *, dilation: int = 1, upsample: bool = False) -> BiasedConv:
        """The next convolution; `upsample` makes the grid twice finer by a transposed one of size 2."""
        conv = BiasedConv(
            self.group,
            in_type,
            out_type,
            kernel_size=2 if upsample else self.kernel_size,
            stride=2 if upsample else 1,
            dilation=dilation,
            transposed=upsample,
            use_bias=self.use_bias,
            filter_orders=self.filter_orders,
            filter_parities=self.filter_parities,
            carried=self.carried,
            key=self._fresh(),
        )
        self.carried = conv.gives(self.carried, self.use_bias)
        return conv

    def block(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        dilation: int = 1,
        use_group_norm: bool = False,
        activate: bool = True,
        preactivation: bool = False,
    ) -> ConvBlock:
        """The next convolution with its norm and nonlinearity."""
        conv = self.conv(in_type, out_type, dilation=dilation)
        norm = WhiteningNorm(out_type) if use_group_norm else None
        neuron = None
        if activate and self.activation is not None:
            neuron = SignedVectorNeuron(out_type, activation=self.activation, key=self._fresh())
        return ConvBlock(conv, norm, neuron, preactivation)

    def residual(
        self, hidden: FieldType, dilations: Sequence[int], *, use_group_norm: bool, preactivation: bool = False
    ) -> tuple[ConvBlock, ...]:
        """The next blocks, to which what they began with is added.

        **Raises** `ValueError` where ginjax would add fields of different types to each other, or fail.
        """
        before = self.carried
        blocks = tuple(
            self.block(hidden, hidden, dilation=dilation, use_group_norm=use_group_norm, preactivation=preactivation)
            for dilation in dilations
        )
        if before != self.carried:
            raise ValueError(
                f"A residual block of ginjax's would add ({', '.join(map(str, before))}) to "
                f"({', '.join(map(str, self.carried))}), pair by pair in this order: its images add in the "
                f"order in which types were found. Use a hidden type, or filters, by which every type reaches all."
            )
        return blocks

    def finish(self, out_type: FieldType) -> None:
        """**Raises** `ValueError` when fields of the output are not reached: ginjax would leave them out silently."""
        missing = set(out_type.representations) - set(self.carried)
        if missing:
            raise ValueError(
                f"ginjax's filters of orders {self.filter_orders} reach no {', '.join(sorted(map(str, missing)))} of "
                f"{out_type}: its network leaves these fields out. Take them out of the output, or give it filters."
            )

    def _fresh(self) -> PRNGKeyArray:
        fresh: PRNGKeyArray
        self._key, fresh = jr.split(self._key)
        return fresh
