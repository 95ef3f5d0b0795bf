"""Layer normalisation of tensor fields."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..field_type import FieldType
from ..multi_image import MultiImage, block_features
from ._check import check_type


class LayerNorm(eqx.Module):
    """Centres and rescales the fields of each representation over grid and channels.

    The mean over pixels and channels is itself a value of the representation, so subtracting it commutes with
    the group. The divisor is the root of an invariant: half the variance of the representation, half the mean square
    of all representations. The second half matters where a symmetric input makes one representation vanish: its
    rounding errors would otherwise be scaled up to the size of a signal, in a direction that no law chose. Each
    channel is then scaled by a learned number. No bias is added: the one of the next `Conv` lives where a bias is
    invariant. Statistics are taken in at least float32.
    """

    scale: dict[str, Float[Array, " channels"]]
    field_type: FieldType = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, field_type: FieldType, *, eps: float = 1e-5):
        """**Arguments:**

        - field_type: the fields taken and given, of any tensor order.
        - eps: added to the variance; keeps zero and constant fields, and their gradients, finite.
        """
        if eps <= 0:
            raise ValueError(f"`LayerNorm(eps={eps})` needs a positive eps: a constant field has no variance.")
        self.field_type = field_type
        self.eps = eps
        self.scale = {str(representation): jnp.ones(channels) for representation, channels in field_type}

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image of `field_type` to another. **Raises** `ValueError` for any other type."""
        check_type(self, image, self.field_type)
        dtype = image.array.dtype
        precise = jnp.promote_types(dtype, jnp.float32)
        over = (*image.grid_axes, image.array.ndim - 1)
        centred, variance, power = {}, {}, jnp.zeros((), precise)
        for representation in self.field_type.representations:
            fields = block_features(image, representation).astype(precise)
            centred[representation] = fields - jnp.mean(fields, axis=over, keepdims=True)
            everything = (*over, fields.ndim - 1)
            variance[representation] = jnp.mean(jnp.square(centred[representation]), axis=everything, keepdims=True)
            power += jnp.mean(jnp.square(fields), axis=everything, keepdims=True) / len(self.scale)
        blocks = []
        for representation, fields in centred.items():
            scale = self.scale[str(representation)].astype(precise)
            normal = fields / jnp.sqrt((variance[representation] + power) / 2 + self.eps) * scale[:, None]
            blocks.append(normal.reshape(*normal.shape[:-2], -1))
        return image.with_array(jnp.concatenate(blocks, axis=-1).astype(dtype))
