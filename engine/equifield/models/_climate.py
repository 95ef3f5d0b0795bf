"""Fields on the globe as a problem in longitude alone."""

import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..field_type import FieldType
from ..groups import SignedPermutation
from ..multi_image import MultiImage
from ..nn._check import check_type
from ..ops import act
from ..representations import pseudoscalar, scalar
from ._network import AbstractNetwork

LONGITUDE, LATITUDE = (SignedPermutation.flip(2, axis) for axis in (0, 1))


class Climate1D(AbstractNetwork):
    """Applies a one-dimensional network along longitude, with all latitudes as channels.

    On a grid (longitude, latitude) nothing is the same at two latitudes: the symmetries of the globe that are left are
    translations and flips of longitude, and the flip at the equator. The first two are those of the network, the third
    comes from averaging its prediction and that for the flipped globe. With a network that commutes with `flips1`,
    this one commutes with `flips2` (Climate1D of ginjax, arXiv:2305.12585).

    A component of a tensor that keeps its sign under the flip of longitude, as the northward wind does, becomes a
    scalar for each latitude; one that changes it, as the eastward wind does, becomes a pseudoscalar.
    """

    network: AbstractNetwork
    in_type: FieldType = eqx.field(static=True)
    out_type: FieldType = eqx.field(static=True)
    latitudes: int = eqx.field(static=True)

    def __init__(self, network: AbstractNetwork, in_type: FieldType, out_type: FieldType, *, latitudes: int):
        """**Arguments:**

        - network: a network on one axis, from `zonal_type(in_type, latitudes)` to `zonal_type(out_type, latitudes)`.
        - in_type, out_type: the fields on the globe that are taken and given; tensors of any order.
        - latitudes: the number of latitudes of the grid, symmetric about the equator.
        """
        self.network = network
        self.in_type = in_type
        self.out_type = out_type
        self.latitudes = latitudes

    @property
    def translation_step(self) -> int:
        """It commutes with translations of longitude by multiples of this many pixels."""
        return self.network.translation_step

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, longitude, latitude)` fields of `in_type` to fields of `out_type` on the same grid.

        **Raises:** `ValueError` for other fields and another number of latitudes.
        """
        check_type(self, image, self.in_type)
        if image.ndim != 2 or image.grid[1] != self.latitudes:
            raise ValueError(
                f"`Climate1D(latitudes={self.latitudes})` needs a grid (longitude, latitude) with as many latitudes, "
                f"not {image.grid}."
            )
        both = image.with_array(jnp.stack([image.array, act(LATITUDE, image).array]))
        zonal = MultiImage(_fold(both), zonal_type(self.in_type, self.latitudes), image.boundary[:1])
        predicted = MultiImage(self._unfold(self.network(zonal).array), self.out_type, image.boundary)
        as_it_is, flipped = (predicted.with_array(array) for array in predicted.array)
        return (as_it_is + act(LATITUDE, flipped)) / 2

    def _unfold(
        self, array: Float[Array, "*batch longitude zonal"]
    ) -> Float[Array, "*batch longitude latitude features"]:
        even, odd = _parities(self.out_type)
        blocks = jnp.split(array, [len(even) * self.latitudes], axis=-1)
        blocks = [block.reshape(*block.shape[:-1], self.latitudes, -1) for block in blocks if block.shape[-1]]
        return jnp.concatenate(blocks, axis=-1)[..., np.argsort(np.concatenate((even, odd)))]


def zonal_type(field_type: FieldType, latitudes: int) -> FieldType:
    """What fields on (longitude, latitude) become on longitude alone: so many scalars and pseudoscalars per latitude.

    **Raises** `ValueError` for fields whose components do not simply keep or change their sign under a flip.
    """
    counts = dict(zip((scalar, pseudoscalar), map(len, _parities(field_type)), strict=True))
    return FieldType({representation: count * latitudes for representation, count in counts.items() if count})


def _fold(image: MultiImage) -> Float[Array, "*batch longitude zonal"]:
    blocks = [image.array[..., features] for features in _parities(image.field_type) if len(features)]
    return jnp.concatenate([block.reshape(*block.shape[:-2], -1) for block in blocks], axis=-1)


@functools.cache
def _parities(field_type: FieldType) -> tuple[Int[np.ndarray, " even"], Int[np.ndarray, " odd"]]:
    """The packed features that keep their sign under the flip of longitude, and those that change it."""
    signs = []
    for representation, channels in field_type:
        matrix = representation.matrix(LONGITUDE)
        if np.count_nonzero(matrix) > np.count_nonzero(np.diag(matrix)):
            raise ValueError(
                f"`Climate1D` takes tensors, whose components keep or change their sign under a flip of longitude; "
                f"those of {representation} change places."
            )
        signs.append(np.tile(np.diag(matrix), channels))
    packed = np.concatenate(signs)
    places = np.arange(len(packed), dtype=np.int32)
    return places[packed > 0], places[packed < 0]
