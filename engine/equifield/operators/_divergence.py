"""The divergence."""

import functools
from collections import Counter

import jax.numpy as jnp

from ..field_type import FieldType
from ..multi_image import MultiImage
from ..representations import Representation, Tensor
from ._check import check_spacing, check_tensors
from ._derivative import derivative


def divergence(image: MultiImage, spacing: tuple[float, ...] | None = None) -> MultiImage:
    """What flows out of every pixel, (div T)_{a..b} = sum_i d_i T_{a..b i}.

    Contracts the last index, the one that `gradient` adds: a `Tensor(k, p)` becomes a `Tensor(k - 1, p)`, a vector a
    scalar and a pseudovector a pseudoscalar. Derivatives are taken as `gradient` does. Commutes with every rotation
    and reflection of the grid, which permutes the spacing along with the axes.

    **Arguments:**

    - image: tensors of order one or more.
    - spacing: the distance between pixels along each grid axis, in any unit of length; 1 by default.

    **Raises:** `ValueError` for scalars, which have no index to contract, for fields that are no tensors, and for a
    spacing that is not one positive length per axis.
    """
    steps = check_spacing("divergence", image, spacing)
    channels: Counter[Representation] = Counter()
    for tensor, count in check_tensors("divergence", image, 1):
        channels[Tensor(tensor.order - 1, tensor.parity, tensor.covariant[:-1])] += count
    # The last index changes fastest among the packed features.
    terms = (derivative(image, axis, step, features=slice(axis, None, image.ndim)) for axis, step in enumerate(steps))
    array = functools.reduce(jnp.add, terms)
    return MultiImage(array.astype(image.array.dtype), FieldType(channels), image.boundary)
