"""The equivariant convolution on a grid with a metric."""

import equinox as eqx
from jaxtyping import PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..metric import Metric, lower_all, lowered, raise_to
from ..multi_image import MultiImage
from ..ops._per_axis import PerAxis
from ._check import check_type
from ._conv import Conv


class MetricConv(eqx.Module):
    """A convolution of fields whose components are measured by a metric.

    Lowers every index of the input with the metric, convolves, and raises the indices of the output that shall be up
    with the inverse metric of their own pixels. So up and down indices are told apart, as on a curved or stretched
    grid. The metric is an argument like the image, and turns with it: f(g x, g m) = g f(x, m).
    """

    conv: Conv
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        kernel_size: PerAxis = 3,
        dilation: PerAxis = 1,
        use_bias: bool = True,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - group: the group the layer commutes with; its dimension is the number of grid axes.
        - in_type, out_type: the fields taken and given, each index up or down as their types say.
        - kernel_size, dilation: as in `Conv`, but the grid must stay, so the kernel spans an odd number of pixels.
        - use_bias: whether to add a learned invariant constant, before indices are raised.
        - key: randomness of the initial weights.

        **Raises:** `ValueError` for an output that no input can reach, and for settings that the group does not
        preserve or that change the grid.
        """
        self.in_type = in_type
        self.out_type = out_type
        self.conv = Conv(
            group,
            lowered(in_type),
            lowered(out_type),
            kernel_size=kernel_size,
            dilation=dilation,
            use_bias=use_bias,
            key=key,
        )
        if not all(extent % 2 for extent in self.conv.stencil.extents):
            raise ValueError(
                f"`MetricConv(kernel_size={kernel_size}, dilation={dilation})` spans {self.conv.stencil.extents} "
                f"pixels, and an even span gives a grid without a metric. Use an odd kernel."
            )

    def __call__(self, image: MultiImage, metric: Metric) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on the same grid.

        **Raises:** `ValueError` when the image has another type, and when the metric lives on another grid.
        """
        check_type(self, image, self.in_type, self.conv.group)
        return raise_to(self.conv(lower_all(image, metric)), self.out_type, metric)
