"""ginjax's ConvContract: our convolution, followed by its bias."""

from collections.abc import Sequence

import equinox as eqx
from jaxtyping import PRNGKeyArray

from ...field_type import FieldType
from ...groups import Group
from ...multi_image import MultiImage
from ...nn import Conv
from ...representations import Tensor
from ._filter_set import FilterSet, restricted, tensors
from ._mean_bias import MeanBias


class BiasedConv(eqx.Module):
    """A convolution with the bias of ginjax's `ConvContract`, between the types that its filters connect.

    ginjax leaves out, silently, what its filters do not reach: from scalars alone no pseudoscalar is reached by
    3 x 3 filters. `conv.out_type` says what this layer gives. With `use_bias="scalar"` only true scalars are left.
    """

    conv: Conv
    bias: MeanBias | None
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    filters: FilterSet = eqx.field(static=True)

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        transposed: bool = False,
        use_bias: str | bool = "auto",
        filter_orders: Sequence[int] = (0, 1, 2),
        filter_parities: Sequence[int] = (0, 1),
        carried: tuple[Tensor, ...] | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - group: the group whose filters ginjax was given.
        - in_type, out_type: the fields that ginjax's layer declares.
        - kernel_size, stride, dilation, transposed: as for `equifield.nn.Conv`.
        - use_bias: `"auto"`, `"mean"`, `"scalar"` or False.
        - filter_orders, filter_parities: of which tensor orders and parities ginjax was given filters.
        - carried: which types of `in_type` the images really carry; all of them by default.
        - key: randomness of the initial weights.

        **Raises:** `ValueError` when no filter leads from what is carried to `out_type`.
        """
        self.in_type = in_type
        self.out_type = out_type
        self.filters = FilterSet(group, (kernel_size,) * group.dimension, tuple(filter_orders), tuple(filter_parities))
        carried = tensors(in_type) if carried is None else carried
        reached = self.gives(carried, use_bias)
        if not reached:
            raise ValueError(
                f"ginjax's filters of orders {self.filters.orders} and parities {self.filters.parities} lead from none "
                f"of {', '.join(map(str, carried))} to {out_type}: its layer would give an image without any field."
            )
        self.conv = Conv(
            group,
            restricted(in_type, carried),
            restricted(out_type, reached),
            kernel_size=kernel_size,
            stride=stride,
            dilation=dilation,
            transposed=transposed,
            use_bias=False,
            key=key,
        )
        self.bias = None if use_bias is False else MeanBias(out_type, kind=str(use_bias))

    def gives(self, carried: tuple[Tensor, ...], use_bias: str | bool) -> tuple[Tensor, ...]:
        """The types that images of the types `carried` become, in the order in which ginjax finds them."""
        reached = self.filters.reached(carried, self.out_type)
        return tuple(target for target in reached if use_bias != "scalar" or target.is_scalar)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps fields of `conv.in_type` to fields of `conv.out_type`. **Raises** `ValueError` as `Conv` does."""
        image = self.conv(image)
        return image if self.bias is None else self.bias(image)
