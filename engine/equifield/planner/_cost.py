"""Counts what a traced program computes and keeps, without running it."""

import math
from collections import Counter
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from ..inference._watch import place_called, programs

MOVES = frozenset(
    {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "rev", "split", "concatenate", "pad"}
    | {"slice", "dynamic_slice", "dynamic_update_slice", "gather", "select_n", "iota", "copy", "stop_gradient"}
    | {"convert_element_type", "bitcast_convert_type", "reduce_precision", "optimization_barrier"}
)
"""Primitives that compute no number."""

Costs = Counter[tuple[str, str]]
"""Amounts by the place of a layer and by kind: `multiply_adds`, `elementwise` or `calls`."""


def costs(jaxpr: Jaxpr, place: str | None = None) -> Costs:
    """What one run of a program computes, by the layer that computes it.

    A loop counts as often as it runs, of several branches the dearest counts. A `while` loop, of which nobody knows
    how often it runs, counts once.
    """
    total: Costs = Counter()
    for eqn in jaxpr.eqns:
        called = place_called(eqn)
        here = place if called is None else called
        inner = [costs(program, here) for program in programs(eqn)]
        if eqn.primitive.name == "cond":
            inner = [max(inner, key=Counter.total)]
        repeats = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        for counted in inner:
            total.update({key: repeats * amount for key, amount in counted.items()})
        if called is not None:
            total[called, "calls"] += 1
        if not inner:
            total[here or "", "multiply_adds"] += _multiply_adds(eqn)
            total[here or "", "elementwise"] += _elementwise(eqn)
    return total


def peak(jaxpr: Jaxpr) -> int:
    """The bytes of all intermediate arrays, outputs included, that exist at once at the worst moment of a program.

    An array exists from the operation that makes it, in the order of the program, to the last one that reads it. What
    a loop gives exists while it runs.
    """
    last = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if not isinstance(v, Literal)}
    last.update((v, len(jaxpr.eqns)) for v in jaxpr.outvars if not isinstance(v, Literal))
    existing: dict[Any, int] = {}
    highest = 0
    for i, eqn in enumerate(jaxpr.eqns):
        before = sum(existing.values())
        existing.update((v, nbytes(v.aval)) for v in eqn.outvars)
        within = max((peak(program) for program in programs(eqn)), default=0)
        outside = sum(existing.values()) if eqn.primitive.name in ("scan", "while") else before
        highest = max(highest, sum(existing.values()), outside + within)
        existing = {v: size for v, size in existing.items() if last.get(v, -1) > i}
    return highest


def nbytes(array: Any) -> int:
    """The bytes of an array of which only shape and dtype are known."""
    return int(math.prod(array.shape) * array.dtype.itemsize)


def _multiply_adds(eqn: JaxprEqn) -> int:
    if eqn.primitive.name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        sides = _shape(eqn.invars[0])
        return math.prod((*_shape(eqn.outvars[0]), *(sides[axis] for axis in contracted)))
    if eqn.primitive.name == "conv_general_dilated":
        return _convolution(eqn)
    return 0


def _convolution(eqn: JaxprEqn) -> int:
    """One for every tap that meets a value; taps on padding, or on holes between dilated inputs, cost nothing."""
    image, kernel, output = map(_shape, (*eqn.invars, *eqn.outvars))
    axes = eqn.params["dimension_numbers"]
    count: int = output[axes.out_spec[0]] * output[axes.out_spec[1]] * kernel[axes.rhs_spec[1]]
    for i, stride in enumerate(eqn.params["window_strides"]):
        side, taps, outputs = image[axes.lhs_spec[2 + i]], kernel[axes.rhs_spec[2 + i]], output[axes.out_spec[2 + i]]
        hole = eqn.params["lhs_dilation"][i]
        positions = np.arange(outputs)[:, None] * stride + np.arange(taps) * eqn.params["rhs_dilation"][i]
        positions -= eqn.params["padding"][i][0]
        count *= int(np.sum((positions >= 0) & (positions <= (side - 1) * hole) & (positions % hole == 0)))
    return count


def _elementwise(eqn: JaxprEqn) -> int:
    """One for every number computed; for a reduction, one for every number reduced."""
    name = eqn.primitive.name
    if name in MOVES or name in ("dot_general", "conv_general_dilated"):
        return 0
    counted = eqn.invars[:1] if name.startswith("reduce_") else eqn.outvars
    return sum(math.prod(_shape(variable)) for variable in counted if _is_real(variable))


def _shape(variable: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = variable.aval.shape
    return shape


def _is_real(variable: Any) -> bool:
    """Whether it holds real or complex numbers, not indices or truth values."""
    return bool(jnp.issubdtype(variable.aval.dtype, jnp.inexact))
