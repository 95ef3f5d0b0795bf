from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, Group, Regular, SignedPermutation, Tensor
from equifield.boundary import Boundary
from equifield.geometric_image import GeometricImage, from_images, to_images
from equifield.groups import hyperoctahedral
from equifield.metric import Metric
from equifield.multi_image import MultiImage, random_image
from equifield.ops import kronecker_delta
from equifield.representations import covector, pseudoscalar, pseudovector, scalar, vector
from tests.engine.laws import numpy_act

Keys = Callable[[], PRNGKeyArray]
WALLS: tuple[Boundary, ...] = ("periodic", "mirror", "zero")
QUARTER_TURN = SignedPermutation((1, 0), (1, -1))
numbers = np.random.default_rng(1)


def image(tensor: Tensor, *shape: int, ndim: int = 2) -> GeometricImage:
    values = numbers.standard_normal((*shape, *tensor.shape(ndim))).astype(np.float32)
    return GeometricImage(jnp.asarray(values), tensor, WALLS[:ndim])


def test_it_knows_its_grid_and_leading_axes_and_prints_them() -> None:
    x = image(Tensor(2, 1), 5, 3, 4, 6)
    assert (x.leading, x.grid, x.ndim, x.grid_axes) == ((5, 3), (4, 6), 2, (2, 3))
    assert repr(x) == "GeometricImage(pseudotensor(2) on (5, 3) x (4 periodic x 6 mirror), float32)"
    assert repr(image(scalar, 4, 6)) == "GeometricImage(scalar on (4 periodic x 6 mirror), float32)"
    assert repr(jax.tree.map(jnp.shape, x)) == "GeometricImage(pseudotensor(2), (5, 3, 4, 6, 2, 2))"


def test_a_constant_image_has_one_tensor_everywhere() -> None:
    identity = GeometricImage.fill(kronecker_delta(2), Tensor(2), (4, 6), WALLS[:2])
    np.testing.assert_array_equal(identity.contract(0, 1).array, np.full((4, 6), 2.0))
    zero = GeometricImage.fill(0, pseudovector, (4, 6), WALLS[:2], dtype=jnp.bfloat16)
    assert (zero.array.shape, zero.array.dtype) == ((4, 6, 2), jnp.bfloat16)


def test_arithmetic_is_that_of_the_values() -> None:
    x, y = image(vector, 3, 4, 6), image(vector, 3, 4, 6)
    np.testing.assert_allclose((x + y - x).array, y.array, atol=1e-6)
    for twice in (2 * x, x * 2.0, x * jnp.float32(2), np.float32(2) * x, x / 0.5, -(-2 * x)):
        assert twice.representation == vector
        np.testing.assert_allclose(twice.array, 2 * x.array, rtol=1e-6)


def test_the_product_of_two_images_is_the_tensor_product() -> None:
    x, y = image(pseudovector, 3, 4, 6), image(Tensor(2, 1, (True, False)), 4, 6)
    product = x * y
    assert product.representation == Tensor(3, 0, (False, True, False))
    np.testing.assert_allclose(product.array, np.einsum("nxya,xybc->nxyabc", x.array, y.array), rtol=1e-6)


def test_it_is_a_pytree_with_one_leaf_that_survives_jit_vmap_and_grad() -> None:
    x = image(vector, 3, 4, 6)
    assert [leaf.shape for leaf in jax.tree.leaves(x)] == [(3, 4, 6, 2)]
    assert jax.tree.structure(x) == jax.tree.structure(image(vector, 3, 4, 6))  # type: ignore[operator]

    def squares(x: GeometricImage) -> GeometricImage:
        return (x * x).contract(0, 1)

    for result in (squares(x), jax.jit(squares)(x), jax.vmap(squares)(x)):
        assert (result.representation, result.boundary) == (scalar, WALLS[:2])
        np.testing.assert_allclose(result.array, jnp.square(x.array).sum(-1), rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda x: squares(x).array.sum()))(x)
    assert gradient.representation == vector
    np.testing.assert_allclose(gradient.array, 2 * x.array, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_every_method_keeps_the_precision(dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x = image(Tensor(2), 2, 4, 6).with_array(jnp.asarray(numbers.standard_normal((2, 4, 6, 2, 2)), dtype))
        metric = Metric(jnp.broadcast_to(2 * jnp.eye(2, dtype=dtype), (4, 6, 2, 2)))
        results = eqx.filter_jit(
            lambda x: [
                x * 2,
                x.contract(0, 1),
                x.levi_civita_contract((1,)),
                x.norm(),
                x.normalize(),
                x.symmetric_part(),
                x.traceless_part(),
                *x.irreducible_parts(),
                x.lower_index(0, metric),
                x.convolve(GeometricImage(jnp.ones((3, 1), dtype), pseudoscalar, x.boundary)),
                x.average_pool(),
                x.max_norm_pool(),
                x.unpool(),
                x.act(QUARTER_TURN),
            ]
        )(x)
        for result in results:
            assert result.array.dtype == dtype
            assert bool(jnp.isfinite(result.array).all())


def test_the_methods_carry_types_through_the_tensor_algebra() -> None:
    x = image(Tensor(3, 0, (False, True, True)), 2, 4, 6)
    np.testing.assert_allclose(x.contract(0, 1).array, np.einsum("...aab->...b", x.array), rtol=1e-5, atol=1e-6)
    assert x.contract(0, 1).representation == covector
    assert x.multicontract([(1, 2)]).representation == vector
    assert x.transpose_axes((1, 2, 0)).representation == Tensor(3, 0, (True, True, False))
    assert x.levi_civita_contract((1,)).representation == Tensor(3, 1, (False, True, True))
    np.testing.assert_allclose((x.symmetric_part(1, 2) + x.antisymmetric_part(1, 2)).array, x.array, atol=1e-6)
    np.testing.assert_allclose((x.trace_part(1, 2) + x.traceless_part(1, 2)).array, x.array, atol=1e-6)
    np.testing.assert_allclose(x.normalize().norm().array.max((1, 2)), [1.0, 1.0], rtol=1e-5)
    parts = image(Tensor(2, 1, (True, True)), 4, 6).irreducible_parts()
    assert [part.representation for part in parts] == [pseudoscalar, scalar, Tensor(2, 1, (True, True))]


@pytest.mark.parametrize("group", [hyperoctahedral(d) for d in (1, 2, 3)], ids=str)
def test_elements_act_pixel_by_pixel(group: Group) -> None:
    ndim = group.dimension
    x = image(Tensor(2, 1), 3, *(4, 6, 2)[:ndim], ndim=ndim)
    for g in group.elements[:: max(1, group.order // 4)]:
        turned = x.act(g)
        expected = numpy_act(g, x.packed())
        assert turned.boundary == expected.boundary
        np.testing.assert_array_equal(turned.packed().array, expected.array)


def test_a_traced_index_acts_like_the_element() -> None:
    group = hyperoctahedral(2)
    x = GeometricImage(image(vector, 3, 4, 4).array, vector, ("zero", "zero"))
    orbit = jax.jit(jax.vmap(lambda index: x.act_by_index(group, index)))(jnp.arange(group.order))
    for g, turned in zip(group, orbit.array, strict=True):
        np.testing.assert_array_equal(turned, x.act(g).array)


def test_translations_move_periodic_axes_only() -> None:
    x = image(vector, 3, 4, 6)
    np.testing.assert_array_equal(x.translate((1, 0)).array, np.roll(x.array, 1, axis=1))
    with pytest.raises(ValueError, match="needs a periodic boundary"):
        x.translate((0, 1))


def test_filters_and_windows_leave_leading_axes_alone() -> None:
    x, c = image(pseudovector, 2, 3, 4, 6), image(Tensor(1, 1, (True,)), 3, 3)
    convolve = eqx.filter_jit(lambda x: x.convolve(c, dilation=2))
    result = convolve(x)
    assert (result.leading, result.grid, result.representation) == ((2, 3), (4, 6), Tensor(2, 0, (False, True)))
    single = convolve(x.with_array(x.array[1, 2]))
    np.testing.assert_allclose(result.array[1, 2], single.array, atol=1e-5)
    mean, largest = eqx.filter_jit(lambda x: (x.unpool(2).average_pool(2), x.unpool(2).max_norm_pool(2)))(x)
    np.testing.assert_allclose(mean.array, x.array, atol=1e-6)
    np.testing.assert_allclose(largest.array, x.array, atol=1e-6)
    with pytest.raises(ValueError, match="needs a filter of shape"):
        x.convolve(x)


def test_fields_come_out_of_a_packed_image_and_go_back(getkey: Keys) -> None:
    types = FieldType.parse("2x scalar + 3x pseudovector + 1x tensor(ud)")
    packed = random_image(types, WALLS[:2], (4, 6), batch=(5,), key=getkey())
    images = to_images(packed)
    assert {tensor: x.leading for tensor, x in images.items()} == {
        scalar: (5, 2),
        pseudovector: (5, 3),
        Tensor(2, 0, (False, True)): (5, 1),
    }
    np.testing.assert_array_equal(images[pseudovector].array[:, 2], packed[pseudovector][..., 2, :])
    back = from_images(reversed(images.values()))
    assert (back.field_type, back.boundary) == (packed.field_type, packed.boundary)
    np.testing.assert_array_equal(back.array, packed.array)
    doubled = from_images([images[scalar], images[scalar]])
    assert doubled.field_type == FieldType.parse("4x scalar")


def test_one_image_is_one_channel() -> None:
    x = image(Tensor(2), 5, 4, 6)
    packed = x.packed()
    assert (packed.field_type, packed.batch) == (FieldType({Tensor(2): 1}), (5,))
    np.testing.assert_array_equal(packed[Tensor(2)][..., 0, :, :], x.array)


def test_what_does_not_fit_is_refused() -> None:
    x = image(vector, 4, 6)
    group_field = MultiImage(jnp.zeros((4, 6, 8)), FieldType({Regular(hyperoctahedral(2)): 1}), x.boundary)
    other_walls = GeometricImage(x.array, vector, ("zero", "zero"))
    for attempt, message in (
        (lambda: x + image(pseudovector, 4, 6), "Images add when type, grid and boundary agree"),
        (lambda: x - image(covector, 4, 6), "Images add when type"),
        (lambda: x + image(vector, 4, 4), "Images add when type"),
        (lambda: x + other_walls, "Images add when type"),
        (lambda: x * image(vector, 4, 4), "Images multiply when grid and boundary agree"),
        (lambda: x * jnp.ones(2), r"not by an array of shape \(2,\)"),
        (lambda: GeometricImage(jnp.zeros((4, 6, 3)), vector, x.boundary), r"\*grid, 2\), not \(4, 6, 3\)"),
        (lambda: GeometricImage(jnp.zeros(2), vector, x.boundary), "needs an array of shape"),
        (lambda: from_images([x]), r"needs the leading axes \(\*batch, channels\)"),
        (lambda: to_images(group_field), r"regular\(B2\) is none"),
    ):
        with pytest.raises(ValueError, match=message):
            attempt()
