"""The interpolation to a finer grid."""

import equinox as eqx
from jaxtyping import PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage
from ..nn import Upsample
from ..nn._check import check_type
from ..nn._upsample import Method
from ._network import AbstractNetwork


class Interpolation(AbstractNetwork):
    """Interpolates every field to a finer grid. What gives finer fields has to beat this baseline.

    Takes any grid and commutes with every translation and every element of every group.
    """

    upsample: Upsample
    group: Group = eqx.field(static=True)
    in_type: FieldType = eqx.field(static=True)

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        factor: int = 2,
        method: Method = "cubic",
        key: PRNGKeyArray | None = None,
    ):
        """**Arguments:**

        - group: not needed for anything but the number of axes; every architecture is called alike.
        - in_type, out_type: the fields, which stay what they are.
        - factor: how many times finer the grid becomes along each axis.
        - method: as in `nn.Upsample`.
        - key: not needed: there are no weights.

        **Raises:** `ValueError` for a factor below 1, an unknown method, and when other fields shall be given than are
        taken.
        """
        if in_type != out_type:
            raise ValueError(f"`Interpolation` gives the fields that it takes, {in_type}, and not {out_type}.")
        self.upsample = Upsample(factor, method=method)
        self.group = group
        self.in_type = in_type

    @property
    def translation_step(self) -> int:
        """It commutes with all translations."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to the same fields on a grid that is `factor` times finer."""
        check_type(self, image, self.in_type, self.group)
        return self.upsample(image)
