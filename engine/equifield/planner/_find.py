"""Which parts of a network are its layers."""

from typing import Any

import equinox as eqx
import jax


def is_layer(part: Any) -> bool:
    """Whether a part of a network is a layer: a module that can be called, with at most one such module inside.

    So a normalisation is one layer together with its affine map, but a block of several layers is none.
    """
    return _is_callable_module(part) and _innermost(part) == 1


def _innermost(part: eqx.Module) -> int:
    """How many callable modules a callable module consists of that have no other inside."""
    inside = jax.tree.leaves(part, is_leaf=lambda node: node is not part and _is_callable_module(node))
    return sum(_innermost(node) for node in inside if _is_callable_module(node)) or 1


def _is_callable_module(part: Any) -> bool:
    return isinstance(part, eqx.Module) and callable(part)
