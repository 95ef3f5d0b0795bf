"""A layer that computes with features first, between convolutions that do."""

import equinox as eqx

from ..multi_image import MultiImage
from ..nn._arrangement import FIRST, AbstractArranged


class FeaturesFirst(eqx.Module):
    """The same layer, with the features before the grid while it computes."""

    layer: AbstractArranged

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image to another, as the layer."""
        return self.layer.arranged(image, FIRST)
