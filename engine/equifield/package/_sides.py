"""Whether a network takes every side that a grid specification allows."""

from collections.abc import Sequence

import equinox as eqx
import jax.random as jr

from ..models import AbstractNetwork
from ..multi_image import random_image
from ._field_model import field_type_of
from .manifest import FieldSpec, GridSpec


def check_sides(network: AbstractNetwork, inputs: Sequence[FieldSpec], grid: GridSpec) -> None:
    """Lets a network pass that takes sides which are multiples of `grid.multiple`, whatever else divides them.

    **Raises** `ValueError`, with what the network says of such sides.
    """
    if grid.multiple % network.translation_step == 0:
        return
    sides = tuple(side + grid.multiple for side in grid.default)
    image = random_image(field_type_of(inputs), grid.boundary, sides, batch=(1,), key=jr.key(0))
    try:
        eqx.filter_eval_shape(lambda network, image: network(image), network, image)
    except ValueError as error:
        raise ValueError(
            f"grid.multiple is {grid.multiple}, but the network does not take the grid {sides}, and commutes with "
            f"translations by multiples of {network.translation_step} alone. Set it to that. ({error})"
        ) from error
