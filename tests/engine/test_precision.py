"""Products in a lower precision, wherever they are; everything else stays in float32."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jaxtyping import Array, PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.inference import PRECISIONS, compile_model, fold, in_precision
from equifield.models import ResNet
from equifield.multi_image import random_image
from equifield.nn import Conv, GroupNorm
from tests.engine.laws import worst_error

Keys = Callable[[], PRNGKeyArray]
B2 = group_named("B2")
FIELDS = FieldType.parse("2x scalar + 1x vector")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
HIGHEST = jax.lax.Precision.HIGHEST


def dot(x: Array, w: Array) -> Array:
    return jnp.matmul(x, w, precision=HIGHEST)


def conv(x: Array, w: Array) -> Array:
    """The same product as a convolution with one tap."""
    return jax.lax.conv_general_dilated(x[None], w[None], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))[0]


@jax.custom_jvp
def ruled(x: Array, w: Array) -> Array:
    return dot(x, w)


@ruled.defjvp
def rule(primals: Any, tangents: Any) -> Any:
    return ruled(*primals), ruled(tangents[0], primals[1])


def looped(x: Array, w: Array) -> Array:
    def body(carry: tuple[int, Array]) -> tuple[int, Array]:
        return carry[0] + 1, carry[1] + dot(x, w)

    return jax.lax.while_loop(lambda carry: carry[0] < 1, body, (0, jnp.zeros((5, 3))))[1]


PLACES: dict[str, Callable[[Array, Array], Array]] = {
    "plain": dot,
    "convolution": conv,
    "jit": jax.jit(dot),
    "scan": lambda x, w: jax.lax.scan(lambda carry, row: (carry, dot(row, w)), 0.0, x)[1],
    "while": looped,
    "cond": lambda x, w: jax.lax.cond(x.sum() > 1e9, lambda: 2 * dot(x, w), lambda: dot(x, w)),
    "checkpoint": jax.checkpoint(dot),
    "custom_jvp": ruled,
    "vmap": jax.vmap(dot, in_axes=(0, None)),
}


def test_every_product_rounds_its_factors_wherever_it_is(getkey: Keys) -> None:
    x, w = jax.random.normal(getkey(), (5, 4)), jax.random.normal(getkey(), (4, 3))

    def everywhere(x: Array, w: Array) -> dict[str, Array]:
        return {name: place(x, w) for name, place in PLACES.items()}

    short = [np.asarray(factor).astype(ml_dtypes.bfloat16).astype(np.float64) for factor in (x, w)]
    exact = [np.asarray(factor, np.float64) for factor in (x, w)]
    for precision, factors in (("bfloat16", short), ("float32", exact)):
        given = jax.jit(in_precision(everywhere, precision))(x, w)
        for name, result in given.items():
            assert result.dtype == jnp.float32
            np.testing.assert_allclose(result, factors[0] @ factors[1], rtol=0, atol=1e-6, err_msg=name)
    assert np.abs(short[0] @ short[1] - exact[0] @ exact[1]).max() > 1e-3, "control: the two can be told apart"


def products(function: Callable[..., Any], *arguments: Any) -> list[tuple[str, Any, Any]]:
    """The type of the factors, of the sums, and the precision of every product of a function, but those of CPUs."""
    found = []

    def walk(jaxpr: Any) -> None:
        for eqn in jaxpr.eqns:
            if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
                (factor,) = {str(atom.aval.dtype) for atom in eqn.invars}
                found.append((factor, str(eqn.outvars[0].aval.dtype), eqn.params["precision"]))
            platforms = eqn.params.get("branches_platforms")
            for value in eqn.params.values():
                parts = value if isinstance(value, tuple) else (value,)
                for number, part in enumerate(parts):
                    if not (platforms and platforms[number] == ("cpu",)):
                        walk(getattr(part, "jaxpr", part)) if hasattr(part, "jaxpr") or hasattr(part, "eqns") else None

    walk(jax.make_jaxpr(function)(*arguments).jaxpr)
    return found


def test_accelerators_get_products_of_bfloat16_summed_in_float32(getkey: Keys) -> None:
    layer = fold(ResNet(B2, FIELDS, FIELDS, hidden=FIELDS, num_blocks=1, key=getkey()))
    image = random_image(FIELDS, TORUS, (4, 4), batch=(2,), key=getkey())
    given = {name: products(in_precision(lambda image: layer(image), name), image) for name in PRECISIONS}
    count, default = len(given["float32"]), (jax.lax.Precision.DEFAULT,) * 2
    assert count > 3 and set(given["float32"]) == {("float32", "float32", (HIGHEST,) * 2)}
    assert given["tf32"] == [("float32", "float32", default)] * count
    assert given["bfloat16"] == [("bfloat16", "float32", default)] * count


def test_statistics_stay_in_float32(getkey: Keys) -> None:
    norm = GroupNorm(FIELDS, groups=1)
    image = random_image(FIELDS, TORUS, (4, 4), batch=(2,), key=getkey())
    image = image.with_array(image.array + 1000.0)
    expected = eqx.filter_jit(norm)(image).array
    given = jax.jit(in_precision(lambda image: norm(image), "bfloat16"))(image).array
    np.testing.assert_array_equal(given, expected)
    rough = norm(image.with_array(image.array.astype(jnp.bfloat16))).array.astype(jnp.float32)
    assert jnp.linalg.norm(rough - expected) > 0.1 * jnp.linalg.norm(expected), "control: an image in bfloat16"


def test_a_network_in_bfloat16_is_near_the_network_and_commutes_as_nearly(getkey: Keys) -> None:
    network = ResNet(B2, FIELDS, FIELDS, hidden=FIELDS.scaled(2), num_blocks=1, norm_groups=1, key=getkey())
    image = random_image(FIELDS, ("periodic", "mirror"), (6, 6), batch=(2,), key=getkey())
    exact, rough = (jax.jit(in_precision(lambda image: network(image), name)) for name in ("float32", "bfloat16"))
    expected, given = exact(image).array, rough(image).array
    error = float(jnp.linalg.norm(given - expected) / jnp.linalg.norm(expected))
    assert given.dtype == jnp.float32 and 1e-4 < error < 3e-2
    assert worst_error(rough, image, B2) < 3e-2
    assert worst_error(lambda x: x.with_array(rough(x).array + jnp.arange(4.0)), image, B2) > 3e-2, "control"


def test_a_model_is_compiled_in_the_precision_that_is_asked_for(getkey: Keys) -> None:
    network = fold(Conv(B2, FIELDS, FIELDS, key=getkey()))
    image = random_image(FIELDS, TORUS, (4, 4), batch=(1,), key=getkey())
    for name in PRECISIONS:
        program = compile_model(network, FIELDS, grids=[(4, 4)], batches=[1], boundary=TORUS, precision=name)
        expected = jax.jit(in_precision(lambda image: network(image), name))(image).array
        np.testing.assert_allclose(program(np.asarray(image.array)), expected, rtol=0, atol=1e-5)


def test_what_is_not_float32_stays_as_it_is(getkey: Keys) -> None:
    with jax.enable_x64(True):
        x, w = (jax.random.normal(getkey(), shape, jnp.float64) for shape in ((5, 4), (4, 3)))
        for function in (dot, conv):
            given = in_precision(function, "bfloat16")(x, w)
            np.testing.assert_allclose(given, np.asarray(x) @ np.asarray(w), rtol=0, atol=1e-13)


def test_an_unknown_precision_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="no precision 'float16' of products. Known: float32, tf32, bfloat16"):
        in_precision(dot, "float16")


def test_trees_go_in_and_come_out_as_they_are(getkey: Keys) -> None:
    image = random_image(FIELDS, TORUS, (4, 4), key=getkey())

    def both(images: tuple[MultiImage, MultiImage], scale: Array) -> dict[str, MultiImage]:
        return {"sum": images[0] + images[1], "scaled": scale * images[0]}

    given = in_precision(both, "tf32")((image, image), jnp.float32(3.0))
    assert eqx.tree_equal(given, both((image, image), jnp.float32(3.0)))
