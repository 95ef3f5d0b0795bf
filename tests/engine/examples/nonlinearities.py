"""Nonlinearities."""

from equifield import FieldType, Group, Regular
from equifield.nn import Gated, NormActivation, Pointwise, TensorProduct, VectorNeuron

from .example import Example, every_type


def gated_type(group: Group) -> FieldType:
    """`every_type` with its gates."""
    return Gated(every_type(group)).in_type


def permuted_type(group: Group) -> FieldType:
    """Fields without signs."""
    return FieldType.parse("2x scalar") + FieldType({Regular(group): 2})


def low_type(group: Group) -> FieldType:
    """Orders up to one and both parities: products have orders up to two."""
    return FieldType.parse("2x scalar + 1x pseudoscalar + 2x vector")


EXAMPLES = {
    Gated: Example(lambda group, key: Gated(every_type(group)), gated_type),
    NormActivation: Example(lambda group, key: NormActivation(every_type(group))),
    Pointwise: Example(lambda group, key: Pointwise(group, permuted_type(group)), permuted_type, knows_group=True),
    TensorProduct: Example(
        lambda group, key: TensorProduct(group, low_type(group), low_type(group), key=key), low_type, knows_group=True
    ),
    VectorNeuron: Example(lambda group, key: VectorNeuron(every_type(group), key=key)),
}
