"""Networks that give tensors of a symmetry."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..multi_image import MultiImage, block_features, from_block_features
from ..representations import Tensor
from ._network import AbstractNetwork

Matrices = Float[Array, "*batch_grid d d"]


class TensorSymmetries(AbstractNetwork):
    """Keeps of the tensors of order two that a network gives the part of a symmetry: a stress is then symmetric.

    Components that are equal, or opposite, are so to the last bit; traces are zero up to rounding. Commutes with what
    the network commutes with.
    """

    network: AbstractNetwork
    symmetries: tuple[tuple[str, ...], ...] = eqx.field(static=True)

    def __init__(self, network: AbstractNetwork, symmetries: Sequence[Sequence[str]]):
        """**Arguments:**

        - network: gives, among other fields, tensors of order two.
        - symmetries: of each of those, in the order of its features: some of `symmetric`, `antisymmetric` and
            `traceless`, or none.

        **Raises:** `ValueError` for another word, and for both of the first two.
        """
        for words in symmetries:
            if set(words) - PARTS.keys() or {"symmetric", "antisymmetric"} <= set(words):
                raise ValueError(
                    f"`TensorSymmetries` knows {', '.join(PARTS)}, and tensors are zero that have the first two of "
                    f"these; {tuple(words)} cannot be kept."
                )
        self.network = network
        self.symmetries = tuple(map(tuple, symmetries))

    @property
    def translation_step(self) -> int:
        """It commutes with translations by multiples of this many pixels."""
        return self.network.translation_step

    def __call__(self, image: MultiImage) -> MultiImage:
        """Maps `(*batch, *grid)` fields to what the network gives of them, with its symmetries.

        **Raises:** `ValueError` when the network gives more or fewer tensors of order two than have been named.
        """
        return with_symmetries(self.network(image), self.symmetries)


def with_symmetries(image: MultiImage, symmetries: Sequence[Sequence[str]]) -> MultiImage:
    """The parts of the tensors of order two of an image that have symmetries, named as `TensorSymmetries` takes them.

    **Raises:** `ValueError` when the image has more or fewer of such tensors.
    """
    matrices = [kind for kind, _ in image.field_type if isinstance(kind, Tensor) and kind.order == 2]
    if (given := sum(map(image.field_type.channels, matrices))) != len(symmetries):
        raise ValueError(
            f"`TensorSymmetries` names the symmetries of {len(symmetries)} tensors of order two, but the network gives "
            f"{given}, {image.field_type}. Name those of each, `()` for none."
        )
    blocks = {kind: block_features(image, kind) for kind, _ in image.field_type}
    left = iter(symmetries)
    for kind in matrices:
        fields = image[kind]
        kept = [_kept(fields[..., i, :, :], next(left)) for i in range(fields.shape[-3])]
        blocks[kind] = jnp.stack(kept, axis=-3).reshape(blocks[kind].shape)
    return from_block_features(blocks, image)


def _symmetric(field: Matrices) -> Matrices:
    upper = jnp.triu((field + field.mT) / 2)
    return upper + jnp.triu(upper, 1).mT


def _antisymmetric(field: Matrices) -> Matrices:
    upper = jnp.triu((field - field.mT) / 2, 1)
    return upper - upper.mT


def _traceless(field: Matrices) -> Matrices:
    ndim = field.shape[-1]
    return field - jnp.trace(field, axis1=-2, axis2=-1)[..., None, None] * jnp.eye(ndim, dtype=field.dtype) / ndim


PARTS: dict[str, Callable[[Matrices], Matrices]] = {
    "symmetric": _symmetric,
    "antisymmetric": _antisymmetric,
    "traceless": _traceless,
}


def _kept(field: Matrices, words: Sequence[str]) -> Matrices:
    for word in words:
        field = PARTS[word](field)
    return field
