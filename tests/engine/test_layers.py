"""The laws that every exported layer obeys, for every group and every element, and a control that breaks them."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

import equifield.nn
from equifield import FieldType, Group, MultiImage, SignedPermutation, Tensor
from equifield.groups import hyperoctahedral, named_groups
from equifield.multi_image import Boundary, random_image
from equifield.nn import Conv, GroupAverage, MetricConv
from equifield.nn._stencil import Stencil
from equifield.ops import translate
from tests.engine.examples import EXAMPLES
from tests.engine.examples.example import every_type
from tests.engine.laws import assert_commutes, numpy_act, worst_error

Keys = Callable[[], PRNGKeyArray]
MAIN = [hyperoctahedral(dimension) for dimension in (1, 2, 3)]
SUBGROUPS = [group for dimension in (1, 2, 3) for group in named_groups(dimension) if group not in MAIN]
GRID = {1: (6,), 2: (4, 6), 3: (4, 4, 4)}
WALL: dict[bool, tuple[Boundary, ...]] = {
    True: ("periodic", "mirror", "periodic"),
    False: ("periodic", "reflect", "periodic"),
}


def is_long(kind: type, group: Group) -> bool:
    """What waits for the long run: subgroups whose elements are all elements of a group that does not, and what takes
    long in space, where the convolution, from which the others have their kernels, is tried for both B3 and O."""
    if group in SUBGROUPS:
        return group.name not in ("C4", "flips2") and (kind, group.name) != (Conv, "O")
    return group.dimension == 3 and kind in (GroupAverage, MetricConv)


LONG = ("float16", "float64")
"""What computes as bfloat16 does, and what the law itself is tried in."""

every_layer = pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
every_layer_and_group = pytest.mark.parametrize(
    ("kind", "group"),
    [
        pytest.param(kind, g, marks=[pytest.mark.soak] if is_long(kind, g) else [])
        for kind, example in EXAMPLES.items()
        for g in (*MAIN, *(SUBGROUPS if example.knows_group else ()))
    ],
    ids=lambda value: value.__name__ if inspect.isclass(value) else str(value),
)


def build(kind: type, group: Group, key: PRNGKeyArray) -> Any:
    """A compiled layer with every weight off its initial value, so that no term is hidden by a zero or a one."""

    def moved(leaf: Any) -> Any:
        if not eqx.is_inexact_array(leaf):
            return leaf
        steps = np.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape)
        return jnp.asarray(np.asarray(leaf) + 0.3 * np.cos(steps))

    return eqx.filter_jit(jax.tree.map(moved, EXAMPLES[kind].build(group, key)))


def boundary(group: Group) -> tuple[Boundary, ...]:
    """A solid wall across the second axis; a group without reflections knows no mirror."""
    d = group.dimension
    return WALL[d > 1 and SignedPermutation.flip(d, 1) in group][:d]


def image(kind: type, group: Group, key: PRNGKeyArray, dtype: str = "float32") -> MultiImage:
    d = group.dimension
    field_type = EXAMPLES[kind].field_type(group)
    return random_image(field_type, boundary(group), GRID[d], batch=(2,), dtype=jnp.dtype(dtype), key=key)


def test_every_exported_layer_has_an_example() -> None:
    exported = {value for value in vars(equifield.nn).values() if inspect.isclass(value)}
    assert exported == set(EXAMPLES)


@every_layer_and_group
def test_a_layer_commutes_with_every_element(kind: type, group: Group, getkey: Keys) -> None:
    with jax.enable_x64(True):
        layer, x = build(kind, group, getkey()), image(kind, group, getkey(), "float64")
        assert eqx.filter_eval_shape(layer, x).array.dtype == "float64"
        assert_commutes(layer, x, group, 1e-12)


@every_layer
@pytest.mark.parametrize(
    "group", [pytest.param(g, marks=[pytest.mark.soak] if g.dimension != 2 else []) for g in MAIN], ids=str
)
def test_a_layer_commutes_in_single_precision(kind: type, group: Group, getkey: Keys) -> None:
    layer, x = build(kind, group, getkey()), image(kind, group, getkey())
    assert_commutes(layer, x, group, 1e-5)
    same = [g for g in group if (g.permute(x.grid), g.permute(x.boundary)) == (x.grid, x.boundary)]
    symmetric = x.with_array(jnp.mean(jnp.stack([numpy_act(g, x).array for g in same]), axis=0))
    for special in (symmetric, x.with_array(jnp.ones_like(x.array)), x * 0.0):
        size = float(np.linalg.norm(layer(special).array) / np.linalg.norm(layer(x).array))
        assert worst_error(layer, special, group) * min(size, 1.0) <= 1e-5


@every_layer
def test_a_layer_commutes_with_translations(kind: type, getkey: Keys) -> None:
    group = hyperoctahedral(2)
    layer, field_type = build(kind, group, getkey()), EXAMPLES[kind].field_type(group)
    x = random_image(field_type, ("periodic", "periodic"), (8, 8), batch=(2,), key=getkey())
    steps = tuple(int(shift * EXAMPLES[kind].scales) for shift in (2, 6))
    moved = translate(layer(x), steps)
    np.testing.assert_allclose(layer(translate(x, (2, 6))).array, moved.array, atol=2e-5)


@every_layer
def test_jit_vmap_and_batch_axes_change_nothing(kind: type, getkey: Keys) -> None:
    group = hyperoctahedral(2)
    layer, x = EXAMPLES[kind].build(group, getkey()), image(kind, group, getkey())
    expected = layer(x).array

    def single(array: jax.Array) -> jax.Array:
        return jnp.asarray(layer(x.with_array(array)).array)

    compiled = jax.jit(single)
    np.testing.assert_allclose(compiled(x.array), expected, atol=2e-6, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(single))(x.array), expected, atol=2e-6, rtol=1e-5)
    np.testing.assert_allclose(compiled(x.array[:1, None])[0, 0], expected[0], atol=2e-6, rtol=1e-5)


@every_layer
@pytest.mark.parametrize("dtype", ["bfloat16", *(pytest.param(name, marks=pytest.mark.soak) for name in LONG)])
def test_the_output_has_the_precision_of_the_input(kind: type, dtype: str, getkey: Keys) -> None:
    group = hyperoctahedral(2)
    with jax.enable_x64(dtype == "float64"):
        layer, x = build(kind, group, getkey()), image(kind, group, getkey())
        exact = np.asarray(layer(x).array, np.float64)
        output = layer(x.with_array(x.array.astype(dtype))).array
        assert output.dtype == dtype
        allowed = {"bfloat16": 6e-2, "float16": 1e-2, "float64": 1e-5}[dtype]
        assert np.linalg.norm(np.asarray(output, np.float64) - exact) <= allowed * np.linalg.norm(exact)


@every_layer
def test_gradients_are_finite_at_random_zero_and_constant_fields(kind: type, getkey: Keys) -> None:
    group = hyperoctahedral(2)
    layer, x = EXAMPLES[kind].build(group, getkey()), image(kind, group, getkey())

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(arguments: tuple[Any, jax.Array]) -> jax.Array:
        function, array = arguments
        return jnp.sum(jnp.square(function(x.with_array(array)).array))

    for array in (x.array, jnp.zeros_like(x.array), jnp.ones_like(x.array)):
        leaves = jax.tree.leaves(gradient((layer, array)))
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)


@every_layer
def test_equal_configurations_have_equal_structure(kind: type) -> None:
    first, second = (EXAMPLES[kind].build(hyperoctahedral(2), jr.key(seed)) for seed in (0, 1))
    assert bool(jax.tree.structure(first) == jax.tree.structure(second))  # type: ignore[operator]


@pytest.mark.parametrize(
    "kind",
    [kind for kind in EXAMPLES if any(field.type is FieldType for field in dataclasses.fields(kind))],
    ids=lambda kind: kind.__name__,
)
def test_a_layer_refuses_fields_that_it_was_not_built_for(kind: type, getkey: Keys) -> None:
    layer = EXAMPLES[kind].build(hyperoctahedral(2), getkey())
    other = random_image(FieldType({Tensor(3): 1}), ("periodic", "periodic"), (4, 4), key=getkey())
    with pytest.raises(ValueError, match="was built for"):
        layer(other)


@every_layer
def test_a_layer_says_what_it_is(kind: type) -> None:
    assert kind.__doc__
    assert "eqx.Module" not in kind.__doc__
    assert kind.__call__.__doc__


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(g, marks=[pytest.mark.soak] if g not in MAIN[:2] else [])
        for g in (*MAIN, *SUBGROUPS)
        if g.order > 1
    ],
    ids=str,
)
def test_the_law_can_fail(group: Group, getkey: Keys) -> None:
    """The control: an unconstrained kernel of the same size."""
    fields = every_type(group)
    features = fields.size(group.dimension)
    stencil = Stencil.on(group, 3, 1, 1, False)
    kernel = jr.normal(getkey(), (3,) * group.dimension + (features, features))
    x = random_image(fields, boundary(group), GRID[group.dimension], key=getkey())
    assert worst_error(jax.jit(lambda y: stencil.convolve(y, kernel, None, fields)), x, group) > 0.1
    assert worst_error(eqx.filter_jit(Conv(group, fields, fields, key=getkey())), x, group) < 1e-5
