"""Nonlinearities: their formulas, and what they refuse."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage, Regular
from equifield.groups import group_named, hyperoctahedral, trivial
from equifield.multi_image import Boundary, block_features, random_image
from equifield.nn import Gated, Linear, NormActivation, Pointwise, TensorProduct, VectorNeuron, activation_named
from equifield.representations import pseudoscalar, scalar, vector
from tests.engine.laws import assert_commutes, worst_error

Keys = Callable[[], PRNGKeyArray]
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
B2 = hyperoctahedral(2)
ACTIVATIONS = ("elu", "gelu", "identity", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "tanh")


def apply(layer: Any, image: MultiImage) -> MultiImage:
    """The layer, compiled: dispatching its operations one by one takes longer."""
    output: MultiImage = eqx.filter_jit(layer)(image)
    return output


@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_a_vector_neuron_replaces_the_component_along_its_direction(name: str, getkey: Keys) -> None:
    activation = activation_named(name)
    layer = VectorNeuron(FieldType.parse("3x vector"), activation=activation, eps=1e-10, key=getkey())
    x = random_image(layer.field_type, TORUS, (5, 5), key=getkey())
    mixed = np.einsum("xycs,cd->xyds", x[vector], layer.mixing["vector"])
    direction = mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)

    def split(field: Any) -> tuple[np.ndarray, np.ndarray]:
        along = np.sum(np.asarray(field) * direction, axis=-1)
        return along, np.asarray(field) - along[..., None] * direction

    (before, rest), (after, rest_after) = split(x[vector]), split(apply(layer, x)[vector])
    assert before.min() < -0.5
    expected = np.asarray(activation(jnp.asarray(before)))
    np.testing.assert_allclose(after, expected, atol=1e-5)
    np.testing.assert_allclose(rest_after, rest, atol=1e-5)
    assert abs(after - expected * np.sign(before)).max() > 0.05  # another, wrong formula


@pytest.mark.parametrize("kind", [VectorNeuron, NormActivation], ids=lambda kind: kind.__name__)
def test_gradients_are_finite_at_a_zero_vector_however_small_eps_is(kind: Any, getkey: Keys) -> None:
    field_type = FieldType.parse("pseudoscalar + 2x vector")
    options = {"key": getkey()} if kind is VectorNeuron else {}
    layer = kind(field_type, eps=1e-8, activation=jax.nn.relu, **options)
    zero = jnp.zeros((1, 1, field_type.size(2)))
    gradient = jax.jit(jax.grad(lambda array: layer(MultiImage(array, field_type, TORUS)).array.sum()))
    assert jnp.isfinite(gradient(zero)).all()
    with pytest.raises(ValueError, match="needs a positive eps"):
        kind(field_type, eps=0.0, **options)


def test_long_vectors_do_not_overflow_in_half_precision() -> None:
    x = jnp.array([[0.0, 300.0], [0.0, 1200.0]], jnp.float16).reshape(1, 2, 1, 2)
    image = MultiImage.from_fields({vector: x}, TORUS)
    layer = VectorNeuron(image.field_type, activation=jax.nn.relu, key=jr.key(0))
    layer = eqx.tree_at(lambda layer: layer.mixing["vector"], layer, -jnp.ones((1, 1)))
    assert abs(np.asarray(apply(layer, image)[vector])).max() < 1.0  # against the direction everything is cut off
    np.testing.assert_allclose(apply(NormActivation(image.field_type), image)[vector], x, rtol=1e-3)


def test_a_norm_activation_is_its_formula(getkey: Keys) -> None:
    layer = NormActivation(FieldType.parse("2x scalar + 3x vector"), activation=jnp.tanh, eps=0.04)
    layer = eqx.tree_at(lambda layer: layer.bias["vector"], layer, jnp.array([0.5, 0.0, -0.5]))
    assert layer.bias.keys() == {"vector"}
    x = random_image(layer.field_type, TORUS, (3, 3), key=getkey())
    y = apply(layer, x)
    length = np.sqrt(np.sum(np.square(x[vector]), axis=-1) + 0.04)
    factor = np.tanh(length + np.array([0.5, 0.0, -0.5])) / length
    np.testing.assert_allclose(y[vector], np.asarray(x[vector]) * factor[..., None], rtol=1e-5)
    np.testing.assert_allclose(y[scalar], np.tanh(x[scalar]), rtol=1e-5)


def test_gates_multiply_whole_fields(getkey: Keys) -> None:
    layer = Gated(FieldType.parse("2x scalar + 1x pseudoscalar + 3x vector"), activation=jnp.tanh)
    assert str(layer.in_type) == "6x scalar + 1x pseudoscalar + 3x vector"
    x = random_image(layer.in_type, TORUS, (3, 3), batch=(2,), key=getkey())
    y = apply(layer, x)
    assert y.field_type == layer.field_type
    gates = 1 / (1 + np.exp(-np.asarray(x[scalar])[..., 2:]))
    np.testing.assert_allclose(y[scalar], np.tanh(np.asarray(x[scalar])[..., :2]), rtol=1e-5)
    np.testing.assert_allclose(y[pseudoscalar], np.asarray(x[pseudoscalar]) * gates[..., :1], rtol=1e-5)
    np.testing.assert_allclose(y[vector], np.asarray(x[vector]) * gates[..., 1:, None], rtol=1e-5)


def test_gates_come_from_the_layer_before(getkey: Keys) -> None:
    only_vectors = Gated(FieldType.parse("2x vector"))
    before = Linear(B2, FieldType.parse("scalar + vector"), only_vectors.in_type, key=getkey())
    assert str(before.out_type) == "2x scalar + 2x vector"
    x = random_image(before.in_type, TORUS, (3, 3), key=getkey())
    assert_commutes(eqx.filter_jit(lambda image: only_vectors(before(image))), x, B2, 1e-6)
    only_scalars = FieldType.parse("2x scalar")
    assert Gated(only_scalars).in_type == only_scalars


def test_pointwise_takes_what_the_group_only_permutes(getkey: Keys) -> None:
    layer = Pointwise(B2, FieldType({scalar: 1, Regular(B2): 2}), activation=jnp.tanh)
    x = random_image(layer.field_type, TORUS, (3, 3), key=getkey())
    np.testing.assert_allclose(apply(layer, x).array, np.tanh(x.array), rtol=1e-5)
    with pytest.raises(ValueError, match="B2 only permutes, but signs change in pseudoscalar, vector. Use `VectorNeur"):
        Pointwise(B2, FieldType.parse("scalar + pseudoscalar + vector"))
    Pointwise(group_named("C4"), FieldType.parse("scalar + pseudoscalar"))
    Pointwise(trivial(2), FieldType.parse("scalar + pseudoscalar + vector"))
    vectors = random_image(FieldType.parse("vector"), TORUS, (3, 3), key=getkey())
    assert worst_error(lambda image: image.with_array(jax.nn.gelu(image.array)), vectors, B2) > 0.1


def test_a_tensor_product_is_its_formula_and_quadratic(getkey: Keys) -> None:
    fields = FieldType.parse("1x scalar + 2x vector")
    layer = TensorProduct(B2, fields, FieldType.parse("2x scalar + 1x pseudoscalar + 1x vector"), key=getkey())
    x = random_image(fields, TORUS, (3, 3), key=getkey())
    y = np.asarray(apply(layer, x).array)
    u, v = (np.asarray(x.array).reshape(-1, 5) @ np.asarray(side.matrix()) for side in (layer.left, layer.right))
    products = [u[:, :1] * v[:, :1], u[:, :1] * v[:, 1:3]]
    products += [np.einsum("ni,nj->nij", u[:, s], v[:, s]).reshape(-1, 4) for s in (np.s_[1:3], np.s_[3:])]
    expected = np.concatenate(products, axis=1) @ np.asarray(layer.contraction.matrix())
    np.testing.assert_allclose(y.reshape(9, -1), expected, atol=1e-5)
    larger = x.with_array(jnp.asarray(np.asarray(x.array) * -4))
    np.testing.assert_allclose(apply(layer, larger).array, 16 * y, rtol=1e-6)


def test_a_tensor_product_commutes_with_all_kinds_of_fields(getkey: Keys) -> None:
    fields = FieldType.parse("pseudoscalar + vector + tensor(2)") + FieldType({Regular(B2): 1})
    with jax.enable_x64(True):
        layer = TensorProduct(B2, fields, fields, key=getkey())
        x = random_image(fields, TORUS, (2, 2), dtype=jnp.float64, key=getkey())
        assert_commutes(eqx.filter_jit(layer), x, B2, 1e-12)


def test_a_bounded_tensor_product_is_quadratic_where_fields_are_small_and_stops_growing(getkey: Keys) -> None:
    fields, key = FieldType.parse("2x scalar + pseudoscalar + 2x vector"), getkey()
    free, bound = TensorProduct(B2, fields, fields, key=key), TensorProduct(B2, fields, fields, bound=0.5, key=key)
    x = random_image(fields, TORUS, (3, 3), key=getkey())
    small, large, larger = (x.with_array(x.array * factor) for factor in (1e-3, 1e3, 1e5))
    np.testing.assert_allclose(apply(bound, small).array, apply(free, small).array, rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(apply(bound, large).array, apply(bound, larger).array, rtol=1e-3, atol=1e-5)
    grown, held = (float(jnp.abs(apply(layer, large).array).max()) for layer in (free, bound))
    assert grown > 1e4 > 1e2 * held
    assert_commutes(eqx.filter_jit(bound), x, B2, 1e-6)
    with pytest.raises(ValueError, match="needs a positive bound"):
        TensorProduct(B2, fields, fields, bound=0.0, key=key)


def test_a_tensor_product_reaches_what_no_linear_map_does(getkey: Keys) -> None:
    vectors, result = FieldType.parse("2x vector"), FieldType.parse("scalar + pseudoscalar + tensor(2)")
    with pytest.raises(ValueError, match="leads from any of 2x vector to scalar"):
        Linear(B2, vectors, result, key=getkey())
    x = random_image(vectors, TORUS, (3, 3), key=getkey())
    layer = TensorProduct(B2, vectors, result, key=getkey())
    assert (abs(np.asarray(apply(layer, x).array)).max(axis=(0, 1)) > 1e-2).all()


def test_a_tensor_product_refuses_what_it_cannot_reach(getkey: Keys) -> None:
    scalars, vectors = FieldType.parse("2x scalar"), FieldType.parse("vector")
    with pytest.raises(ValueError, match="from the products of two of 2x scalar to vector. Add an input"):
        TensorProduct(B2, scalars, vectors, key=getkey())
    huge = FieldType({Regular(hyperoctahedral(3)): 1})
    with pytest.raises(ValueError, match=r"regular\(B3\) and regular\(B3\) has 2304. Map to smaller representations"):
        TensorProduct(hyperoctahedral(3), huge, huge, key=getkey())


def test_a_tensor_product_roughly_keeps_unit_variance(getkey: Keys) -> None:
    fields = FieldType.parse("16x scalar + 16x vector")
    y = apply(TensorProduct(B2, fields, fields, key=getkey()), random_image(fields, TORUS, (16, 16), key=getkey()))
    for rho in fields.representations:
        assert 0.5 < np.var(block_features(y, rho)) < 2.0


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_named_activation_is_one_elementwise_function(name: str) -> None:
    activation = activation_named(name)
    assert activation is activation_named(name)
    x = jnp.array([-1.0, 0.5])
    assert activation(x).shape == (2,)
    assert float(activation(x)[1]) == pytest.approx(float(activation(x[1])))


def test_an_unknown_activation_is_refused_with_the_known() -> None:
    with pytest.raises(ValueError, match="no activation named 'gellu'.*" + ", ".join(ACTIVATIONS)):
        activation_named("gellu")
