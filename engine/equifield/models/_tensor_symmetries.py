"""Networks that give tensors of a symmetry."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..multi_image import MultiImage, block_features, from_block_features
from ..ops import antisymmetric_part, symmetric_part, traceless_part
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
        kept = [_kept(fields[..., i, :, :], kind, next(left)) for i in range(fields.shape[-3])]
        blocks[kind] = jnp.stack(kept, axis=-3).reshape(blocks[kind].shape)
    return from_block_features(blocks, image)


def _symmetric(field: Matrices, tensor: Tensor) -> Matrices:
    upper = jnp.triu(symmetric_part(field, tensor))
    return upper + jnp.triu(upper, 1).mT


def _antisymmetric(field: Matrices, tensor: Tensor) -> Matrices:
    upper = jnp.triu(antisymmetric_part(field, tensor), 1)
    return upper - upper.mT


PARTS: dict[str, Callable[[Matrices, Tensor], Matrices]] = {
    "symmetric": _symmetric,
    "antisymmetric": _antisymmetric,
    "traceless": traceless_part,
}
"""Those of `ops`, with components that are equal or opposite to the last bit."""


def _kept(field: Matrices, tensor: Tensor, words: Sequence[str]) -> Matrices:
    for word in words:
        field = PARTS[word](field, tensor)
    return field
