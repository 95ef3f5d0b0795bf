"""Images whose arrays stay in the memory of the host."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from ...field_type import FieldType
from ...multi_image import Boundary, MultiImage


def host_image(
    array: Float32[np.ndarray, "*batch_grid features"], field_type: FieldType, boundary: tuple[Boundary, ...]
) -> MultiImage:
    """A `MultiImage` of a NumPy array, which is neither copied nor moved to a device."""
    image: MultiImage = jax.tree.unflatten(_structure(field_type, boundary), [array])
    return image


@functools.cache
def _structure(field_type: FieldType, boundary: tuple[Boundary, ...]) -> jax.tree_util.PyTreeDef:
    shape = (1,) * len(boundary) + (field_type.size(len(boundary)),)
    return jax.tree.structure(MultiImage(jnp.zeros(shape), field_type, boundary))
