"""One example of every exported layer, for the laws that all layers obey; one module per family."""

from . import convolutions, metric, nonlinearities, norms, pooling
from .example import Example

EXAMPLES: dict[type, Example] = {
    kind: example
    for family in (convolutions, metric, nonlinearities, norms, pooling)
    for kind, example in family.EXAMPLES.items()
}
