"""Normalisations: their formulas, what they protect, and what they refuse."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage, Representation
from equifield.groups import hyperoctahedral
from equifield.multi_image import Boundary, block_features, random_image
from equifield.nn import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from equifield.representations import pseudoscalar, scalar, vector
from tests.engine.laws import assert_commutes, worst_error

Keys = Callable[[], PRNGKeyArray]
Norm = GroupNorm | LayerNorm | InstanceNorm
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
EVERY_ORDER = FieldType.parse("2x scalar + 4x pseudoscalar + 2x vector + 2x tensor(2) + 2x pseudotensor(3)")
NORMS: dict[str, Callable[[FieldType], Norm]] = {
    "GroupNorm": lambda field_type: GroupNorm(field_type, groups=2),
    "LayerNorm": LayerNorm,
    "InstanceNorm": InstanceNorm,
}


def apply(layer: Any, image: MultiImage) -> MultiImage:
    """The layer, compiled: dispatching its operations one by one takes longer."""
    output: MultiImage = eqx.filter_jit(layer)(image)
    return output


def trained(layer: Any) -> Any:
    """The layer with every parameter off its initial value."""

    def moved(leaf: Any) -> Any:
        return np.asarray(leaf) + 0.3 * np.cos(np.arange(leaf.size, dtype=leaf.dtype)) if eqx.is_array(leaf) else leaf

    return jax.tree.map(moved, layer)


def shifted(image: MultiImage, factor: Any) -> MultiImage:
    """The image times a factor plus one, without compiling anything."""
    return image.with_array(jnp.asarray(np.asarray(image.array) * np.asarray(factor, np.float32) + np.float32(1)))


def numpy_norm(layer: Norm, image: MultiImage) -> dict[Representation, np.ndarray]:
    """The formula of the norms, one channel group of one batch element at a time."""
    counts: Mapping[Representation, int] = {
        GroupNorm: dict.fromkeys(image.field_type.representations, 2),
        LayerNorm: dict.fromkeys(image.field_type.representations, 1),
        InstanceNorm: dict(image.field_type),
    }[type(layer)]
    fields = {rho: np.asarray(block_features(image, rho), np.float64) for rho in image.field_type.representations}
    result = {rho: np.empty_like(field) for rho, field in fields.items()}
    for b in range(image.batch[0]):
        power = np.mean([np.mean(field[b] ** 2) for field in fields.values()])
        for rho, field in fields.items():
            for part in np.split(np.arange(field.shape[-2]), counts[rho]):
                x = field[b][..., part, :]
                x = x - x.mean(axis=(0, 1, 2))
                x = x / np.sqrt((np.mean(x**2) + power) / 2 + layer.eps)
                x = x * np.asarray(layer.affine.scale[str(rho)])[part, None]
                bias = np.asarray(layer.affine.bias["scalar"])[part, None] if rho.is_scalar else 0.0
                result[rho][b][..., part, :] = x + bias
    return result


@pytest.mark.parametrize("build", NORMS.values(), ids=NORMS)
def test_a_norm_is_its_formula(build: Callable[[FieldType], Norm], getkey: Keys) -> None:
    layer = trained(build(EVERY_ORDER))
    x = shifted(random_image(EVERY_ORDER, TORUS, (3, 4), batch=(2,), key=getkey()), 3)
    y = apply(layer, x)
    for rho, expected in numpy_norm(layer, x).items():
        np.testing.assert_allclose(block_features(y, rho), expected, atol=2e-6)


def test_trained_parameters_keep_the_law_at_every_order(getkey: Keys) -> None:
    layer = trained(GroupNorm(EVERY_ORDER, groups=2))
    assert layer.affine.bias.keys() == {"scalar"}
    with jax.enable_x64(True):
        x = random_image(EVERY_ORDER, TORUS, (3, 3), dtype=jnp.float64, key=getkey())
        assert_commutes(eqx.filter_jit(layer), x, hyperoctahedral(2), 1e-12)


def test_a_bias_on_a_pseudoscalar_would_break_the_law(getkey: Keys) -> None:
    """The control of the test above."""
    layer = LayerNorm(FieldType({pseudoscalar: 1}))
    x = random_image(layer.field_type, TORUS, (3, 3), key=getkey())
    assert worst_error(eqx.filter_jit(lambda y: y.with_array(layer(y).array + 1.0)), x, hyperoctahedral(2)) > 0.5


def test_gradients_are_finite_at_zero_constant_and_isotropic_fields() -> None:
    layer = GroupNorm(EVERY_ORDER, groups=2)
    zero = np.zeros((4, 4, EVERY_ORDER.size(2)), np.float32)
    isotropic = zero.copy()
    isotropic[0], isotropic[1] = 1.0, -1.0
    isotropic[..., 1::2] = isotropic.swapaxes(0, 1)[..., 1::2]  # equal variances and no covariance

    @jax.jit
    @jax.grad
    def gradient(array: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(layer(MultiImage(array, EVERY_ORDER, TORUS)).array))

    for array in (zero, zero + np.float32(0.7), isotropic):
        assert np.isfinite(gradient(jnp.asarray(array))).all()


@pytest.mark.parametrize("constant", [0.1, 33333.3, -7e-4], ids=str)
def test_nothing_is_left_of_a_constant_field(constant: float) -> None:
    field_type = FieldType.parse("scalar + pseudoscalar + vector")
    x = MultiImage(jnp.full((6, 7, 4), constant), field_type, TORUS)
    np.testing.assert_array_equal(apply(LayerNorm(field_type), x).array, 0.0)


def test_unit_normal_fields_stay_so_at_initialisation(getkey: Keys) -> None:
    field_type = FieldType.parse("4x scalar + 4x vector + 4x tensor(2)")
    y = apply(GroupNorm(field_type, groups=2), random_image(field_type, TORUS, (16, 16), key=getkey()))
    for rho in field_type.representations:
        np.testing.assert_allclose(np.var(block_features(y, rho)), 1.0, atol=0.1)


def test_a_field_that_vanishes_by_symmetry_is_not_scaled_up(getkey: Keys) -> None:
    layer = LayerNorm(FieldType.parse("2x scalar + 2x vector"))
    x = random_image(layer.field_type, TORUS, (8, 8), key=getkey())
    rounding = np.asarray(x.array) * np.array([1, 1, *[1e-8] * 4], np.float32)
    normal = apply(layer, x.with_array(jnp.asarray(rounding)))
    assert abs(np.asarray(normal[vector])).max() < 1e-6
    assert abs(np.asarray(normal[scalar])).max() > 0.5


def test_statistics_do_not_overflow_in_half_precision(getkey: Keys) -> None:
    layer = LayerNorm(FieldType.parse("2x scalar + 2x vector"))
    x = shifted(random_image(layer.field_type, TORUS, (8, 8), key=getkey()), 1000)
    half = apply(layer, x.with_array(x.array.astype(jnp.float16)))
    assert half.array.dtype == jnp.float16
    np.testing.assert_allclose(half.array, apply(layer, x).array, atol=1e-2)


def test_groups_must_divide_every_channel_count() -> None:
    field_type = FieldType.parse("12x scalar + 8x vector")
    with pytest.raises(ValueError, match=r"groups=3.*of 12x scalar \+ 8x vector. Numbers that work: 1, 2, 4\."):
        GroupNorm(field_type, groups=3)
    with pytest.raises(ValueError, match="Numbers that work: 1, 2, 4"):
        GroupNorm(field_type, groups=0)


@pytest.mark.parametrize("build", [*NORMS.values(), BatchNorm], ids=[*NORMS, "BatchNorm"])
def test_a_norm_that_would_divide_by_zero_is_refused(build: Any) -> None:
    options = {"groups": 1} if build is NORMS["GroupNorm"] else {}
    kind = GroupNorm if options else build
    with pytest.raises(ValueError, match="needs a positive eps"):
        kind(FieldType.parse("vector"), eps=0.0, **options)


def batch_norm(momentum: float = 0.9) -> tuple[BatchNorm, eqx.nn.State]:
    layer, state = eqx.nn.make_with_state(BatchNorm)(FieldType.parse("2x scalar + 2x vector"), momentum=momentum)
    return trained(layer), state


def test_batch_norm_commutes_in_training_and_in_inference(getkey: Keys) -> None:
    layer, state = batch_norm()
    x = shifted(random_image(layer.field_type, TORUS, (3, 3), batch=(2,), key=getkey()), 2)
    train = eqx.filter_jit(layer)
    assert_commutes(lambda y: train(y, jax.tree.map(jnp.copy, state))[0], x, hyperoctahedral(2), 1e-6)
    _, state = train(x, state)
    infer = eqx.filter_jit(eqx.nn.inference_mode(layer))
    assert_commutes(lambda y: infer(y, state)[0], x, hyperoctahedral(2), 1e-6)


def test_batch_norm_learns_running_statistics_and_uses_them(getkey: Keys) -> None:
    layer, state = batch_norm(momentum=0.5)
    x = shifted(random_image(layer.field_type, TORUS, (4, 4), batch=(3,), key=getkey()), [1, 2, 3, 3, 4, 4])
    train = eqx.filter_jit(layer)
    trained_output, state = train(x, state)
    array = np.asarray(x.array)
    scalars, vectors = array[..., :2], array[..., 2:].reshape(-1, 2, 2)
    mean = np.concatenate([scalars.mean(axis=(0, 1, 2)), [0, 0]])
    variance = np.concatenate([scalars.var(axis=(0, 1, 2)), (vectors**2).mean(axis=(0, 2))])
    running = state.get(layer.running)
    np.testing.assert_allclose(running, [0.5 * mean, 0.5 + 0.5 * variance], rtol=1e-5)
    for _ in range(20):
        _, state = train(x, state)
    infer = eqx.filter_jit(eqx.nn.inference_mode(layer))
    output, same = infer(x, state)
    np.testing.assert_allclose(output.array, trained_output.array, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(same.get(layer.running), state.get(layer.running))
    alone, _ = infer(x.with_array(x.array[:1]), state)
    np.testing.assert_allclose(alone.array, output.array[:1], atol=1e-6)
    square = variance + mean**2
    power = (square[:2].mean() + square[2:].mean()) / 2
    expected = (scalars - mean[:2]) / np.sqrt((variance[:2] + power) / 2 + layer.eps)
    expected = expected * np.asarray(layer.affine.scale["scalar"]) + np.asarray(layer.affine.bias["scalar"])
    np.testing.assert_allclose(trained_output.array[..., :2], expected, atol=1e-5)


def test_batch_norm_refuses_a_momentum_that_never_moves() -> None:
    with pytest.raises(ValueError, match="momentum of at least 0 and less than 1"):
        BatchNorm(FieldType.parse("scalar"), momentum=1.0)
