"""The unconstrained twins of the architectures: ordinary convolutional networks."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ..field_type import FieldType
from ..groups import Group, trivial
from ..representations import scalar
from ._dilated_resnet import DilatedResNet
from ._network import AbstractNetwork
from ._resnet import ResNet
from ._simple_conv import SimpleConv
from ._super_resolution import SuperResolution
from ._unet import UNet

N = TypeVar("N", bound=AbstractNetwork)


def plain(architecture: Callable[..., N]) -> Callable[..., N]:
    """The unconstrained twin of an architecture, called like it: what a symmetry is worth is measured against this one.

    It is the same architecture for the trivial group, under which every kernel is allowed, with as many scalars between
    the layers as the fields of `hidden` have components: the packed features pass through ordinary convolutions, layer
    normalisations, activations and maximum pooling, at the same cost at inference. It respects boundaries, commutes
    with the same translations, and with no rotation or reflection. `group` gives the number of axes.
    """

    @functools.wraps(architecture, assigned=(), updated=())
    def twin(group: Group, in_type: FieldType, out_type: FieldType, *, hidden: FieldType, **options: Any) -> N:
        components = FieldType({scalar: hidden.size(group.dimension)})
        return architecture(trivial(group.dimension), in_type, out_type, hidden=components, **options)

    return twin


PlainResNet = plain(ResNet)
"""An ordinary residual network, the unconstrained twin of `ResNet`."""

PlainDilatedResNet = plain(DilatedResNet)
"""An ordinary dilated residual network, the unconstrained twin of `DilatedResNet`."""

PlainSimpleConv = plain(SimpleConv)
"""Ordinary convolutions in series, the unconstrained twin of `SimpleConv`."""

PlainSuperResolution = plain(SuperResolution)
"""An ordinary residual network to a finer grid, the unconstrained twin of `SuperResolution`."""

PlainUNet = plain(UNet)
"""An ordinary U-Net, the unconstrained twin of `UNet`."""
