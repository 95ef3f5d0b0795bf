"""Instance normalisation of tensor fields."""

import equinox as eqx

from ..field_type import FieldType
from ..multi_image import MultiImage
from ._check import check_type
from ._normalise import Affine, check_eps, normalise


class InstanceNorm(eqx.Module):
    """Centres and rescales every channel by itself, over the grid.

    `GroupNorm` with one group per channel (Ulyanov et al. 2016, Instance normalization).
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
        return normalise(image, dict(self.field_type), self.affine, self.eps)
