from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PRNGKeyArray

from equifield import FieldType, Group, MultiImage, Regular, SignedPermutation, Tensor
from equifield.boundary import Boundary
from equifield.geometric_image import GeometricImage
from equifield.groups import hyperoctahedral
from equifield.metric import Metric, lower_all, lower_index, raise_all, raise_index, raise_to
from equifield.multi_image import random_image
from equifield.nn import MetricConv
from equifield.representations import covector, scalar, vector
from tests.engine.laws import alike, numpy_act, stacked

Keys = Callable[[], PRNGKeyArray]
WALLS: dict[int, tuple[Boundary, ...]] = {1: ("mirror",), 2: ("periodic", "mirror"), 3: ("periodic",) * 3}
GRID = {1: (4,), 2: (4, 6), 3: (3, 3, 3)}
MIXED = "1x scalar + 1x pseudovector + 1x vector + 1x covector + 1x tensor(ud)"
build = eqx.filter_jit(Metric)
numbers = np.random.default_rng(2)
every_group = pytest.mark.parametrize("group", [hyperoctahedral(d) for d in (1, 2, 3)], ids=str)


def matrices(*grid: int, dtype: str = "float32") -> Array:
    """Symmetric matrices with eigenvalues between 1/2 and 2."""
    ndim = len(grid)
    frames = np.linalg.qr(numbers.standard_normal((*grid, ndim, ndim)))[0]
    lengths = 2 ** numbers.uniform(-1, 1, (*grid, ndim))
    return jnp.asarray(np.einsum("...ij,...j,...kj->...ik", frames, lengths, frames), dtype)


def image(text: str, key: PRNGKeyArray, ndim: int = 2, dtype: str = "float32") -> MultiImage:
    types = FieldType.parse(text)
    return random_image(types, WALLS[ndim], GRID[ndim], batch=(2,), dtype=jnp.dtype(dtype), key=key)


def turned(g: SignedPermutation, metric: Metric) -> Metric:
    """The metric turned by the test's own action, as the field of tensor(dd) that it is."""
    tensor = Tensor(2, 0, (True, True))
    field = MultiImage.from_fields({tensor: metric.lower[..., None, :, :]}, WALLS[metric.ndim])
    return build(numpy_act(g, field)[tensor][..., 0, :, :])


def worst_metric_error(
    function: Callable[[MultiImage, Metric], MultiImage], x: MultiImage, metric: Metric, group: Group
) -> float:
    """The largest ||f(g x, g m) - g f(x, m)|| / ||f(x, m)|| over all elements."""
    expected = function(x, metric)
    worst = 0.0
    for elements in alike(x, group):
        images = stacked([numpy_act(g, x) for g in elements])
        metrics = jax.tree.map(lambda *arrays: jnp.stack(arrays)[:, None], *[turned(g, metric) for g in elements])
        for g, output in zip(elements, function(images, metrics).array, strict=True):
            worst = max(worst, float(np.linalg.norm(output - numpy_act(g, expected).array)))
    return worst / float(np.linalg.norm(expected.array))


@pytest.mark.parametrize("ndim", [1, 2, 3, 4], ids="{}D".format)
def test_the_upper_metric_is_the_inverse_of_the_lower(ndim: int) -> None:
    with jax.enable_x64(True):
        lower = matrices(*(2,) * ndim, dtype="float64")
        metric = build(lower)
    np.testing.assert_allclose(metric.lower, lower, atol=1e-14)
    identity = np.einsum("...ij,...jk->...ik", metric.lower, metric.upper)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(ndim), lower.shape), atol=1e-13)
    np.testing.assert_allclose(metric.upper, np.swapaxes(metric.upper, -1, -2), atol=1e-14)
    assert (metric.ndim, metric.grid, str(metric.upper.dtype)) == (ndim, (2,) * ndim, "float64")


def test_very_different_scales_keep_all_digits() -> None:
    scales = np.array([1e-8, 1e8])
    lower = jnp.asarray(np.array([[1.0, 0.5], [0.5, 1.0]]) * np.outer(scales, scales), jnp.float32)
    expected = np.linalg.inv([[1.0, 0.5], [0.5, 1.0]]) / np.outer(scales, scales)
    np.testing.assert_allclose(Metric(lower[None, None]).upper[0, 0], expected, rtol=1e-5)


def test_indices_move_by_the_metric_of_their_pixel(getkey: Keys) -> None:
    metric, x = build(matrices(4, 6)), image("2x tensor(ud)", getkey())
    (values,) = (np.asarray(field) for _, field in x.items())
    down = lower_index(x, 0, metric)
    assert down.field_type == FieldType.parse("2x tensor(dd)")
    expected = np.einsum("xyij,nxycjk->nxycik", metric.lower, values)
    np.testing.assert_allclose(down[Tensor(2, 0, (True, True))], expected, rtol=1e-5, atol=1e-6)
    up = raise_index(x, 1, metric)
    assert up.field_type == FieldType.parse("2x tensor(2)")
    expected = np.einsum("xyij,nxyckj->nxycki", metric.upper, values)
    np.testing.assert_allclose(up[Tensor(2)], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(raise_index(down, 0, metric).array, x.array, atol=1e-5)


def test_one_image_moves_its_indices_like_many(getkey: Keys) -> None:
    metric, x = build(matrices(4, 6)), image("1x covector", getkey())
    single = GeometricImage(x[covector][..., 0, :], covector, x.boundary)
    up = single.raise_index(0, metric)
    assert up.representation == vector
    np.testing.assert_array_equal(up.array, raise_index(x, 0, metric)[vector][..., 0, :])
    np.testing.assert_allclose(up.lower_index(0, metric).array, single.array, atol=1e-5)
    np.testing.assert_array_equal(single.raise_all(metric).array, up.array)
    np.testing.assert_array_equal(up.lower_all(metric).array, up.lower_index(0, metric).array)
    length = (single * up).contract(0, 1)  # g^ij v_i v_j
    expected = np.einsum("nxyi,xyij,nxyj->nxy", single.array, metric.upper, single.array)
    np.testing.assert_allclose(length.array, expected, rtol=1e-5)


def test_lowering_everything_joins_fields_and_raising_to_the_type_undoes_it(getkey: Keys) -> None:
    metric, x = build(matrices(4, 6)), image(MIXED, getkey())
    down = jax.jit(lower_all)(x, metric)
    assert down.field_type == FieldType.parse("1x scalar + 2x covector + 1x pseudocovector + 1x tensor(dd)")
    np.testing.assert_array_equal(down[scalar], x[scalar])
    back = jax.jit(raise_to, static_argnums=1)(down, x.field_type, metric)
    np.testing.assert_allclose(back.array, x.array, atol=1e-5)
    up = jax.jit(raise_all)(down, metric)
    assert up.field_type == FieldType.parse("1x scalar + 2x vector + 1x pseudovector + 1x tensor(2)")
    np.testing.assert_allclose(up.array, jax.jit(raise_all)(x, metric).array, atol=1e-5)


@every_group
def test_a_metric_turns_with_its_inverse(group: Group) -> None:
    metric = build(matrices(*GRID[group.dimension]))
    for g in group.elements[:: max(1, group.order // 4)]:
        acted, expected = metric.act(g), turned(g, metric)
        np.testing.assert_array_equal(acted.lower, expected.lower)
        np.testing.assert_allclose(acted.upper, expected.upper, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("group", "dtype", "tolerance"),
    [*((hyperoctahedral(d), "float64", 1e-12) for d in (1, 2, 3)), (hyperoctahedral(3), "float32", 1e-5)],
    ids=str,
)
def test_a_convolution_with_a_metric_commutes_with_every_element(
    group: Group, dtype: str, tolerance: float, getkey: Keys
) -> None:
    ndim = group.dimension
    with jax.enable_x64(dtype == "float64"):
        x = image("vector + covector + tensor(ud)", getkey(), ndim, dtype)
        metric = build(matrices(*GRID[ndim], dtype=dtype))
        layer = MetricConv(group, x.field_type, FieldType.parse("scalar + vector + covector"), key=getkey())
        layer = jax.tree.map(lambda leaf: leaf + 0.1, layer)  # a bias of zero would hide its term
        assert worst_metric_error(eqx.filter_jit(layer), x, metric, group) <= tolerance


def test_the_law_can_fail(getkey: Keys) -> None:
    """The control: a metric that stays where it is while the image turns."""
    group, x, metric = hyperoctahedral(2), image("vector", getkey()), build(matrices(4, 6))

    @jax.jit
    def unmoved(image: MultiImage, metric: Metric) -> MultiImage:
        return lower_all(image, Metric(jnp.broadcast_to(jnp.diag(jnp.array([1.0, 3.0])), (*image.grid, 2, 2))))

    assert worst_metric_error(jax.jit(lower_all), x, metric, group) <= 1e-6
    assert worst_metric_error(unmoved, x, metric, group) > 0.1


def test_the_flat_metric_leaves_an_ordinary_convolution(getkey: Keys) -> None:
    group, x = hyperoctahedral(2), image("scalar + vector", getkey())
    layer = MetricConv(group, x.field_type, x.field_type, kernel_size=5, key=getkey())
    flat = jnp.broadcast_to(jnp.eye(2), (4, 6, 2, 2))
    lowered = MultiImage(x.array, FieldType.parse("scalar + covector"), x.boundary)
    expected = eqx.filter_jit(layer.conv)(lowered)
    np.testing.assert_allclose(eqx.filter_jit(layer)(x, build(flat)).array, expected.array, atol=1e-5)


def test_a_metric_survives_jit(getkey: Keys) -> None:
    metric, x = build(matrices(4, 6)), image(MIXED, getkey())
    np.testing.assert_allclose(jax.jit(lower_all)(x, metric).array, lower_all(x, metric).array, atol=1e-6)
    built = jax.jit(Metric)(metric.lower)
    np.testing.assert_allclose(built.upper, metric.upper, atol=1e-6)


def test_a_metric_survives_vmap(getkey: Keys) -> None:
    x, lower = image("vector", getkey()), jnp.stack([matrices(4, 6), matrices(4, 6)])
    mapped = jax.vmap(lambda x, lower: lower_all(x, Metric(lower)))(x, lower)
    np.testing.assert_allclose(mapped.array, np.einsum("nxyij,nxyj->nxyi", lower, x.array), rtol=1e-5, atol=1e-6)
    batched = lower_all(x, jax.vmap(Metric)(lower))
    np.testing.assert_allclose(batched.array, mapped.array, atol=1e-6)


def test_a_metric_survives_tree_map(getkey: Keys) -> None:
    metric, x = build(matrices(4, 6)), image("vector", getkey())
    assert [leaf.shape for leaf in jax.tree.leaves(metric)] == [(4, 6, 2, 2)] * 2
    halves = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), metric)
    assert isinstance(halves, Metric)
    result = lower_all(x.with_array(x.array.astype(jnp.bfloat16)), halves).array
    assert result.dtype == jnp.bfloat16
    np.testing.assert_allclose(result.astype(float), lower_all(x, metric).array, atol=0.1)


def test_a_metric_survives_grad_and_its_derivative_is_exact(getkey: Keys) -> None:
    with jax.enable_x64(True):
        lower, x = matrices(4, 6, dtype="float64"), image("covector", getkey(), dtype="float64")

        @jax.jit
        def energy(lower: Array) -> Array:
            return jnp.sum(jnp.square(raise_all(x, Metric(lower)).array))

        slope = jax.jit(jax.grad(energy))
        gradient = slope(lower)
        step = 1e-6 * numbers.standard_normal(lower.shape)
        change = (energy(lower + step) - energy(lower - step)) / 2
        np.testing.assert_allclose(jnp.sum(gradient * step), change, rtol=1e-6)
        flat = jnp.broadcast_to(jnp.eye(2), (4, 6, 2, 2))  # equal eigenvalues
        assert np.isfinite(slope(flat)).all()


def test_what_cannot_be_done_is_refused(getkey: Keys) -> None:
    group, metric = hyperoctahedral(2), build(matrices(4, 6))
    x = image("vector + tensor(ud)", getkey())
    regular = MultiImage(jnp.zeros((4, 6, 8)), FieldType({Regular(group): 1}), WALLS[2])
    layer = MetricConv(group, x.field_type, x.field_type, key=getkey())
    for attempt, message in (
        (lambda: raise_index(x, 0, metric), "`raise_index` of axis 0 of a vector: this index is up already"),
        (lambda: lower_index(x, 1, metric), "axis 1 needs tensors with that axis, and a vector has none"),
        (lambda: lower_index(lower_all(x, metric), 0, metric), "this index is down already"),
        (lambda: raise_index(regular, 0, metric), r"a regular\(B2\) has none"),
        (lambda: lower_all(x, Metric(matrices(4, 4))), r"lives on the grid \(4, 4\), but the image on \(4, 6\)"),
        (lambda: raise_to(x, x.field_type, metric), "needs types that add up to it"),
        (lambda: Metric(jnp.ones((4, 6, 3, 3))), "with d grid axes"),
        (lambda: MetricConv(group, x.field_type, x.field_type, kernel_size=2, key=getkey()), "Use an odd kernel"),
        (lambda: layer(image("vector", getkey()), metric), "was built for"),
    ):
        with pytest.raises(ValueError, match=message):
            attempt()
