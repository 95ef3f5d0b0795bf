"""Layer normalisation of tensor fields."""

import equinox as eqx

from ..field_type import FieldType
from ..multi_image import MultiImage
from ._check import check_type
from ._normalise import Affine, check_eps, normalise


class LayerNorm(eqx.Module):
    """Centres and rescales the fields of each representation over the grid and all its channels.

    `GroupNorm` with one group (Ba et al. 2016, Layer normalization).
    """

    affine: Affine
    field_type: FieldType = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, field_type: FieldType, *, eps: float = 1e-5):
        """**Arguments:**

        - field_type: the fields taken and given.
        - eps: added to the variance; keeps zero fields, and their gradients, finite.
        """
        check_eps(self, eps)
        self.field_type = field_type
        self.eps = eps
        self.affine = Affine(field_type)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image of `field_type` to another. **Raises** `ValueError` for any other type."""
        check_type(self, image, self.field_type)
        return normalise(image, dict.fromkeys(self.field_type.representations, 1), self.affine, self.eps)
