"""The persistence forecast."""

import equinox as eqx
from jaxtyping import PRNGKeyArray

from ..field_type import FieldType
from ..groups import Group
from ..multi_image import MultiImage, block_features, from_block_features
from ..nn._check import check_type
from ._network import AbstractNetwork


class LastStep(AbstractNetwork):
    """Predicts that nothing changes: the most recent state of each field. Every forecast has to beat this baseline.

    Takes any grid and commutes with every translation and every element of every group.
    """

    group: Group = eqx.field(static=True)
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    past_steps: int = eqx.field(static=True)

    def __init__(
        self,
        group: Group,
        in_type: FieldType,
        out_type: FieldType,
        *,
        past_steps: int,
        key: PRNGKeyArray | None = None,
    ):
        """**Arguments:**

        - group: not needed for anything but the number of axes; every architecture is called alike.
        - in_type: of each representation first the channels of its fields, each at `past_steps` times with the most
            recent one last (field, time), then those of its constant fields, if there are any.
        - out_type: the fields, each at one time.
        - past_steps: the number of times at which the input gives each field.
        - key: not needed: there are no weights.

        **Raises:** `ValueError` when the input has fewer channels than the fields at all times.
        """
        for representation, channels in out_type:
            given = in_type.channels(representation)
            if past_steps < 1 or given < channels * past_steps:
                raise ValueError(
                    f"`LastStep(past_steps={past_steps})` needs {channels} fields of {representation} at each of "
                    f"{past_steps} times, at least one, but the input {in_type} has {given} channels of it."
                )
        self.group = group
        self.in_type = in_type
        self.out_type = out_type
        self.past_steps = past_steps

    @property
    def translation_step(self) -> int:
        """It commutes with all translations."""
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields of `in_type` to fields of `out_type` on the same grid."""
        check_type(self, image, self.in_type, self.group)
        blocks = {}
        for representation, channels in self.out_type:
            fields = block_features(image, representation)
            blocks[representation] = fields[..., self.past_steps - 1 : channels * self.past_steps : self.past_steps, :]
        return from_block_features(blocks, image)
