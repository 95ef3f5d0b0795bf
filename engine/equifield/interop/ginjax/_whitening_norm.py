"""ginjax's group normalisation."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...field_type import FieldType
from ...multi_image import MultiImage, block_features, from_block_features


class WhiteningNorm(eqx.Module):
    """ginjax's `GroupNorm`: standardises scalars, whitens vectors, over the grid and groups of channels.

    Scalars and pseudoscalars are divided by their deviation, scaled and shifted by learned numbers per channel. The
    shift of a pseudoscalar is not invariant: once trained, the layer no longer commutes with reflections. Vectors x
    become C^(-1/2) (x - m), with the mean m and the covariance matrix C + eps, scaled per channel; a learned multiple
    of the channel's own mean is added. Tensors of higher order have no such layer in ginjax.
    """

    scale: dict[str, Float[Array, " channels"]]
    shift: dict[str, Float[Array, " channels"]]
    field_type: FieldType = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, field_type: FieldType, *, groups: int = 1, eps: float = 1e-5):
        """**Arguments:**

        - field_type: the scalars and vectors that may come; an image may carry only some of them.
        - groups: into how many groups of equal size the channels are divided; each has its own statistics.
        - eps: added to the variance.

        **Raises:** `ValueError` for tensors of higher order, and when the groups do not divide the channels.
        """
        for representation, channels in field_type:
            if len(representation.shape(2)) > 1:
                raise ValueError(
                    f"ginjax's group norm takes scalars and vectors, not {representation}. Use no norm, or "
                    f"`equifield.nn.LayerNorm`, which takes every order."
                )
            if channels % groups:
                raise ValueError(f"`WhiteningNorm(groups={groups})` cannot divide {channels} channels evenly.")
        self.field_type = field_type
        self.groups = groups
        self.eps = eps
        self.scale = {str(representation): jnp.ones(channels) for representation, channels in field_type}
        self.shift = {str(representation): jnp.zeros(channels) for representation, channels in field_type}

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps an image to one of the same type."""
        precise = jnp.promote_types(image.array.dtype, jnp.float32)
        blocks = {}
        for representation in image.field_type.representations:
            fields = block_features(image, representation).astype(precise)
            grouped = fields.reshape(*fields.shape[:-2], self.groups, -1, fields.shape[-1])
            over = (*image.grid_axes, grouped.ndim - 2)
            white = self._whitened(grouped, over).reshape(fields.shape)
            name = str(representation)
            scale, shift = (weights[name].astype(precise)[:, None] for weights in (self.scale, self.shift))
            if representation.shape(image.ndim):
                shift = shift * jnp.mean(fields, axis=image.grid_axes, keepdims=True)
            blocks[representation] = white * scale + shift
        return from_block_features(blocks, image)

    def _whitened(
        self, grouped: Float[Array, "*batch_grid groups channels size"], over: tuple[int, ...]
    ) -> Float[Array, "*batch_grid groups channels size"]:
        centred = grouped - jnp.mean(grouped, axis=over, keepdims=True)
        products = centred[..., :, None] * centred[..., None, :]
        covariance = jnp.mean(products, axis=over, keepdims=True)
        root = inverse_root(covariance, self.eps)
        return jnp.einsum("...ij,...j->...i", root, centred, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def inverse_root(matrix: Float[Array, "*batch n n"], eps: float) -> Float[Array, "*batch n n"]:
    """(A + eps)^(-1/2) of a symmetric matrix A >= 0.

    The derivative of the eigenvectors has a pole where two eigenvalues agree, that of the root has none: in the basis
    of eigenvectors it multiplies entry ij by -1 / (ri rj (ri + rj)), with the roots r of the eigenvalues.
    """
    roots, vectors = _roots(matrix, eps)
    return (vectors / roots[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)


@inverse_root.defjvp
def _inverse_root_jvp(
    eps: float, primals: tuple[Float[Array, "*batch n n"]], tangents: tuple[Float[Array, "*batch n n"]]
) -> tuple[Float[Array, "*batch n n"], Float[Array, "*batch n n"]]:
    roots, vectors = _roots(primals[0], eps)
    transposed = jnp.swapaxes(vectors, -1, -2)
    column, row = roots[..., :, None], roots[..., None, :]
    turned = -(transposed @ tangents[0] @ vectors) / (column * row * (column + row))
    return (vectors / row) @ transposed, vectors @ turned @ transposed


def _roots(
    matrix: Float[Array, "*batch n n"], eps: float
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n n"]]:
    values, vectors = jnp.linalg.eigh(matrix)
    return jnp.sqrt(jnp.maximum(values, 0) + eps), vectors
