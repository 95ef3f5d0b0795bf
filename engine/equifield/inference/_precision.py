"""In which precision a program multiplies matrices."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array

Precision = Literal["float32", "tf32", "bfloat16"]
"""What the factors of a matrix product or a convolution are rounded to; sums are formed in float32."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
PRODUCTS = ("dot_general", "conv_general_dilated")
T = TypeVar("T")
Jaxpr = Any
Equation = Any
"""Those of `jax.extend.core`, whose methods have no types."""


def in_precision(function: Callable[..., T], precision: str) -> Callable[..., T]:
    """The same function, with all its matrix products and convolutions of float32 numbers in another precision.

    - `float32`: as they are written.
    - `tf32`: in the default precision of the device: 11 significant bits of the factors on GPUs that have tensor cores
        for it. Changes nothing on a CPU.
    - `bfloat16`: the factors are rounded to 8 significant bits, their products are summed in float32. A CPU gives
        these numbers too, but takes longer.

    All else stays as it is: norms and their statistics, sums, activations and residual connections in float32, and
    whatever is not float32. Nothing that the function calls has to know. For inference: what brings its own rule for
    derivatives keeps that as written.

    **Arguments:**

    - function: of arrays, and trees of them, alone.
    - precision: one of these.

    **Raises:** `ValueError` for another precision; when called, for an exported program in anything but `float32`,
    because what it computes has been decided.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"There is no precision {precision!r} of products. Known: {', '.join(PRECISIONS)}.")
    if precision == "float32":
        return function

    def changed(*arguments: Any) -> T:
        written, output = jax.make_jaxpr(function, return_shape=True)(*arguments)
        arrays = core.jaxpr_as_fun(_within(written, precision))(*jax.tree.leaves(arguments))
        result: T = jax.tree.unflatten(jax.tree.structure(output), arrays)
        return result

    return changed


def _rewritten(jaxpr: Jaxpr, precision: str) -> Jaxpr:
    """The steps of a program, and of the programs within them, in another precision."""
    return jaxpr.replace(eqns=[step for eqn in jaxpr.eqns for step in _steps(eqn, precision)])


def _steps(eqn: Equation, precision: str) -> Iterator[Equation]:
    """What replaces one step of a program."""
    if eqn.primitive.name == "call_exported":
        raise ValueError(f"An exported program has the precision it was exported in: export it in {precision}.")
    if eqn.primitive.name not in PRODUCTS or any(atom.aval.dtype != jnp.float32 for atom in eqn.invars):
        yield eqn.replace(params={name: _within(value, precision) for name, value in eqn.params.items()})
        return
    default = {**eqn.params, "precision": (jax.lax.Precision.DEFAULT,) * 2}
    if precision == "tf32":
        yield eqn.replace(params=default)
        return

    def short(*factors: Array) -> Any:
        halves = (factor.astype(jnp.bfloat16) for factor in factors)
        return eqn.primitive.bind(*halves, **{**default, "preferred_element_type": jnp.dtype(jnp.float32)})

    def rounded(*factors: Array) -> Any:
        """The same numbers where the device has no such product."""
        return eqn.primitive.bind(*(jax.lax.reduce_precision(factor, 8, 7) for factor in factors), **eqn.params)

    def product(*factors: Array) -> Any:
        return jax.lax.platform_dependent(*factors, cpu=rounded, default=short)

    traced: Jaxpr = jax.make_jaxpr(product)(*(atom.aval for atom in eqn.invars)).jaxpr
    names = dict(zip([*traced.invars, *traced.outvars], [*eqn.invars, *eqn.outvars], strict=True))
    for step in traced.eqns:
        invars, outvars = ([names.get(atom, atom) for atom in atoms] for atoms in (step.invars, step.outvars))
        yield step.replace(invars=invars, outvars=outvars)


def _within(value: Any, precision: str) -> Any:
    """A program, or a parameter of a step that may hold some, rewritten; what they take and give stays the same."""
    if isinstance(value, core.ClosedJaxpr):
        inner: Jaxpr = value
        return inner.replace(jaxpr=_rewritten(inner.jaxpr, precision))
    if isinstance(value, core.Jaxpr):
        return _rewritten(value, precision)
    return tuple(_within(part, precision) for part in value) if type(value) is tuple else value
