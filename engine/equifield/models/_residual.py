"""Networks that predict changes."""

import equinox as eqx

from ..field_type import FieldType
from ..multi_image import MultiImage, block_features, from_block_features
from ..nn import Upsample
from ._network import AbstractNetwork


class Residual(AbstractNetwork):
    """Adds what a network says to what it is given: for a forecast, the network says how the state changes.

    Where states change little in a step, this is most of the forecast before any training. Where the network gives a
    finer grid, it says what a cubic interpolation to that grid misses. A network may give fewer fields than it takes:
    then the first of each representation change, and those behind them, such as constant fields, are only looked at
    (`rollout.model_input`). Commutes with what the network commutes with.
    """

    network: AbstractNetwork
    scale: float = eqx.field(static=True)

    def __init__(self, network: AbstractNetwork, *, scale: float = 1.0):
        """**Arguments:**

        - network: gives fields of the type it takes, or fewer.
        - scale: what its output is multiplied by: how large the changes are, where the fields themselves are of order
            one. The network then says something of order one.

        **Raises:** `ValueError` for a scale that is not positive.
        """
        if not scale > 0:
            raise ValueError(f"`Residual(scale={scale})` needs a positive scale, the size of the changes.")
        self.network = network
        self.scale = scale

    @property
    def translation_step(self) -> int:
        """It commutes with translations by multiples of this many pixels."""
        return self.network.translation_step

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields to fields of the type, and on the grid, that the network gives.

        **Raises:** `ValueError` when the network gives fields that it does not take, or a grid that is not the image's
        or a whole number of times finer.
        """
        change = self.network(image) * self.scale
        factors = tuple(max(1, fine // side) for fine, side in zip(change.grid, image.grid, strict=True))
        return Upsample(factors, method="cubic")(_leading(image, change.field_type)) + change


def _leading(image: MultiImage, field_type: FieldType) -> MultiImage:
    """The first fields of each representation, as many as a type has."""
    if any(count > image.field_type.channels(representation) for representation, count in field_type):
        raise ValueError(
            f"`Residual` changes fields that it is given, {image.field_type}, but its network gives {field_type}. Let "
            f"it give some of those."
        )
    if field_type == image.field_type:
        return image
    blocks = {
        representation: block_features(image, representation)[..., :count, :] for representation, count in field_type
    }
    return from_block_features(blocks, image)
