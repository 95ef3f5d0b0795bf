"""From what is said of a model to its network."""

from collections.abc import Sequence

import jax.random as jr

from ..architectures import build_model
from ..groups import group_named
from ..models import AbstractNetwork, TensorSymmetries
from ._field_model import field_type_of
from .manifest import Architecture, FieldSpec, packed_fields


def network_between(
    inputs: Sequence[FieldSpec], outputs: Sequence[FieldSpec], architecture: Architecture, group: str, seed: int
) -> AbstractNetwork:
    """A network with fresh weights between fields in normalised units, whose outputs have their symmetries.

    **Raises** `ValueError` when it cannot be built.
    """
    source, target = field_type_of(inputs), field_type_of(outputs)
    network = build_model(architecture.name, architecture.config, group_named(group), source, target, key=jr.key(seed))
    symmetries = symmetries_of(outputs)
    return TensorSymmetries(network, symmetries) if any(symmetries) else network


def symmetries_of(outputs: Sequence[FieldSpec]) -> tuple[tuple[str, ...], ...]:
    """Those of the tensors of order two, as `TensorSymmetries` takes them."""
    return tuple(field.symmetry for field in packed_fields(tuple(outputs)) if field.order == 2)
