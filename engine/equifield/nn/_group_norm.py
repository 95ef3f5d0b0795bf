"""Group normalisation of tensor fields."""

import math

import equinox as eqx

from ..field_type import FieldType
from ..multi_image import MultiImage
from ._check import check_type
from ._normalise import Affine, check_eps, normalise


class GroupNorm(eqx.Module):
    """Centres and rescales the fields of each representation over the grid and over groups of channels.

    For the channels x of one group of one representation, `scale * (x - mean) / sqrt((variance + power) / 2 + eps)`,
    where mean and variance are over pixels and channels, the variance over components too, and power is the mean square
    of the whole image. Each commutes with every orthogonal representation, of any tensor order. Each channel has a
    learned scale; true scalars have a learned bias, which for anything else would not be invariant (Wu and He 2018,
    Group normalization; for tensor images arXiv:2305.12585).
    """

    affine: Affine
    field_type: FieldType = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, field_type: FieldType, *, groups: int, eps: float = 1e-5):
        """**Arguments:**

        - field_type: the fields taken and given.
        - groups: into how many groups the channels of each representation are divided.
        - eps: added to the variance; keeps zero fields, and their gradients, finite.

        **Raises:** `ValueError` when the groups do not divide the channels of every representation.
        """
        common = math.gcd(*(channels for _, channels in field_type))
        if groups < 1 or common % groups:
            fits = ", ".join(str(divisor) for divisor in range(1, common + 1) if common % divisor == 0)
            raise ValueError(
                f"`GroupNorm(groups={groups})` needs a number that divides the channels of every representation of "
                f"{field_type}. Numbers that work: {fits}."
            )
        check_eps(self, eps)
        self.field_type = field_type
        self.groups = groups
        self.eps = eps
        self.affine = Affine(field_type)

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image of `field_type` to another. **Raises** `ValueError` for any other type."""
        check_type(self, image, self.field_type)
        return normalise(image, dict.fromkeys(self.field_type.representations, self.groups), self.affine, self.eps)
