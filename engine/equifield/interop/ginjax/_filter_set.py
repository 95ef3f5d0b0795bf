"""Which filters a ginjax convolution was given, and which fields they reach."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from ...field_type import FieldType
from ...groups import Group
from ...kernels import Pixels, basis_dimension
from ...representations import Representation, Tensor, scalar
from ._images import Key


def tensors(field_type: FieldType) -> tuple[Tensor, ...]:
    """The representations of a type in the order in which JAX, and so every saved file, holds ginjax's keys.

    **Raises** `ValueError` for a representation that ginjax does not have.
    """
    kept = []
    for representation in field_type.representations:
        if not isinstance(representation, Tensor):
            raise ValueError(f"ginjax networks carry tensors; {representation} is none.")
        kept.append(representation)
    return tuple(sorted(kept, key=key_of))


def key_of(tensor: Tensor) -> Key:
    """How ginjax names a type."""
    return (tensor.covariant, tensor.parity)


def restricted(field_type: FieldType, kept: Iterable[Representation]) -> FieldType:
    """The part of a type that consists of some of its representations."""
    return FieldType({representation: field_type.channels(representation) for representation in kept})


@dataclass(frozen=True)
class FilterSet:
    """The invariant filters of some tensor orders and parities on a square stencil.

    In ginjax a filter from tensors of order k to tensors of order k' is a filter of order k + k'. Where the set has
    none, the two types stay unconnected; a type that nothing reaches is absent from what the layer gives.
    """

    group: Group
    sizes: tuple[int, ...]
    orders: tuple[int, ...]
    parities: tuple[int, ...]

    def filters(self) -> tuple[Tensor, ...]:
        """The types of all filters of the set, in ginjax's order."""
        types = (Tensor(order, parity) for order in self.orders for parity in self.parities)
        return tuple(sorted((kind for kind in types if _count(self, kind)), key=key_of))

    def connecting(self, source: Tensor, target: Tensor) -> Tensor | None:
        """The type of the filters from one type to another; None where the set has none."""
        filter_type = Tensor(source.order + target.order, (source.parity + target.parity) % 2)
        known = filter_type.order in self.orders and filter_type.parity in self.parities
        return filter_type if known and _count(self, filter_type) else None

    def reached(self, carried: tuple[Tensor, ...], out_type: FieldType) -> tuple[Tensor, ...]:
        """The types of `out_type` that filters lead to, in the order in which ginjax finds them."""
        found = (target for source in carried for target in tensors(out_type) if self.connecting(source, target))
        return tuple(dict.fromkeys(found))


@functools.cache
def _count(filters: FilterSet, kind: Tensor) -> int:
    return basis_dimension(filters.group, scalar, kind, Pixels(filters.sizes))
