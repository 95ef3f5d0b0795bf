"""Pooling over windows, over the whole grid and over the group."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage, Regular
from equifield.boundary import BOUNDARIES, Boundary
from equifield.groups import group_named, hyperoctahedral
from equifield.multi_image import random_image
from equifield.nn import AvgPool, BlurPool, Conv, GlobalPool, GroupPool, MaxNormPool
from equifield.ops import pad, translate
from equifield.representations import scalar, vector
from tests.engine.laws import assert_commutes, numpy_act, stacked, worst_error

Keys = Callable[[], PRNGKeyArray]
TORUS: tuple[Boundary, ...] = ("periodic", "periodic", "periodic")
FIELDS = FieldType.parse("2x scalar + vector")
PAIRS = list(zip(BOUNDARIES, BOUNDARIES[1:] + BOUNDARIES[:1], strict=True))
WINDOWED = [MaxNormPool, AvgPool, BlurPool]

every_windowed = pytest.mark.parametrize("kind", WINDOWED, ids=lambda kind: kind.__name__)
every_pair = pytest.mark.parametrize("boundary", PAIRS, ids="-".join)


@pytest.mark.parametrize("grid", [(6,), (4, 6), (2, 6, 4)], ids=str)
def test_pools_agree_with_a_loop_over_windows(grid: tuple[int, ...], getkey: Keys) -> None:
    window = (2, 3, 2)[: len(grid)]
    x = random_image(FIELDS, TORUS[: len(grid)], grid, batch=(2,), key=getkey())
    mean, largest = (eqx.filter_jit(pool)(x) for pool in (AvgPool(window), MaxNormPool(window)))
    fields, means, maxima = (np.asarray(image[vector]) for image in (x, mean, largest))
    for cell in np.ndindex(mean.grid):
        inside = tuple(slice(c * w, (c + 1) * w) for c, w in zip(cell, window, strict=True))
        values = fields[(slice(None), *inside)].reshape(2, -1, len(grid))
        np.testing.assert_allclose(means[(slice(None), *cell, 0)], values.mean(1), atol=1e-6)
        longest = np.linalg.norm(values, axis=-1).argmax(axis=1)
        np.testing.assert_array_equal(maxima[(slice(None), *cell, 0)], values[np.arange(2), longest])


@every_windowed
def test_windows_that_do_not_fit_are_refused_with_sides_that_do(kind: type, getkey: Keys) -> None:
    x = random_image(FIELDS, TORUS[:2], (1, 5), key=getkey())
    with pytest.raises(ValueError, match=r"windows of 2 x 2 pixels, but the grid is 1 x 5. Sides that work: 2, 4 or 6"):
        kind(2)(x)
    with pytest.raises(ValueError, match=r"Sides that work: 1, 3 or 6"):
        kind((1, 3))(x)
    with pytest.raises(ValueError, match="not one positive number for each of 2 grid axes"):
        kind((1, 2, 3))(x)
    for refused in (0, (2, 0), ()):
        with pytest.raises(ValueError, match="needs at least 1"):
            kind(refused)


def test_dropping_the_pixels_left_over_would_break_the_law(getkey: Keys) -> None:
    """The control: what other packages do on a side that the window does not divide."""
    x = random_image(FIELDS, TORUS[:1], (7,), key=getkey())
    truncated = eqx.filter_jit(lambda y: MaxNormPool(3)(y.with_array(y.array[..., :6, :])))
    assert worst_error(truncated, x, hyperoctahedral(1)) > 0.1


@every_windowed
def test_one_window_per_axis_commutes_with_what_exchanges_no_axes(kind: type, getkey: Keys) -> None:
    pool = eqx.filter_jit(kind((2, 3)))
    x = random_image(FIELDS, ("mirror", "reflect"), (4, 6), key=getkey())
    assert_commutes(pool, x, group_named("flips2"), 1e-6)
    square = random_image(FIELDS, TORUS[:2], (6, 6), key=getkey())
    with pytest.raises(AssertionError, match="shape"):
        assert_commutes(pool, square, group_named("B2"), 1e-6)


@every_windowed
def test_pools_commute_with_translations_by_whole_windows_only(kind: type, getkey: Keys) -> None:
    pool = eqx.filter_jit(kind((2, 3)))
    x = random_image(FIELDS, ("periodic", "periodic"), (6, 6), key=getkey())
    expected = pool(x)
    moved = pool(translate(x, (4, -3))).array
    np.testing.assert_allclose(moved, translate(expected, (2, -1)).array, atol=1e-6)
    assert not np.allclose(pool(translate(x, (1, 0))).array, expected.array, atol=1e-2)


def test_the_longest_vector_is_kept_and_ties_are_averaged() -> None:
    x = jnp.array([[3.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]]).reshape(4, 1, 1, 2)
    pooled = MaxNormPool((2, 1))(MultiImage.from_fields({vector: x}, ("periodic", "periodic")))
    np.testing.assert_allclose(pooled[vector][:, 0, 0], [[3.0, 0.0], [0.5, -0.5]])


def test_norms_that_differ_by_rounding_tie() -> None:
    long, rounded = jnp.array([0.6, 0.8]), jnp.array([0.8, 0.6]) * (1 + 3e-7)
    x = jnp.stack([long, rounded, jnp.zeros(2)]).reshape(3, 1, 1, 2)
    pooled = MaxNormPool((3, 1))(MultiImage.from_fields({vector: x}, ("periodic", "periodic")))
    np.testing.assert_allclose(pooled[vector][0, 0, 0], [0.7, 0.7], rtol=1e-5)


def test_long_vectors_do_not_overflow_in_half_precision() -> None:
    x = jnp.array([[0.0, 300.0], [0.0, 6e4], [0.0, 6e4], [0.0, 0.0]], jnp.float16).reshape(2, 2, 1, 2)
    image = MultiImage.from_fields({vector: x}, ("periodic", "periodic"))
    np.testing.assert_array_equal(MaxNormPool(2)(image)[vector].ravel(), x[0, 1, 0])
    np.testing.assert_allclose(AvgPool(2)(image)[vector].ravel(), [0.0, 30075.0], rtol=1e-3)
    assert jnp.isfinite(BlurPool(2)(image).array).all()


def test_true_scalars_may_be_compared_by_their_value(getkey: Keys) -> None:
    x = random_image(FIELDS, TORUS[:2], (4, 4), key=getkey())
    pools = MaxNormPool(2, signed_scalars=True), MaxNormPool(2)
    signed, unsigned = (eqx.filter_jit(pool)(x) for pool in pools)
    np.testing.assert_array_equal(signed[scalar], np.asarray(x[scalar]).reshape(2, 2, 2, 2, 2).max((1, 3)))
    np.testing.assert_array_equal(signed[vector], unsigned[vector])
    assert (unsigned[scalar] < 0).any()
    assert_commutes(eqx.filter_jit(pools[0]), x, group_named("B2"), 0.0)


@every_pair
def test_blurring_commutes_whatever_lies_beyond_the_edges(boundary: tuple[Boundary, ...], getkey: Keys) -> None:
    with jax.enable_x64(True):
        x = random_image(FIELDS, boundary, (6, 4), dtype=jnp.float64, key=getkey())
        assert_commutes(eqx.filter_jit(BlurPool(2)), x, group_named("B2"), 1e-12)


def test_taps_that_lie_unevenly_in_their_cells_break_the_law(getkey: Keys) -> None:
    """The control: the filter 1 2 1 before a subsampling by two."""

    def blurred(x: MultiImage) -> MultiImage:
        wide = pad(x, (1,), (1,))
        return x.with_array((wide[..., :-2, :] + 2 * wide[..., 1:-1, :] + wide[..., 2:, :])[..., ::2, :] / 4)

    assert worst_error(blurred, random_image(FIELDS, TORUS[:1], (8,), key=getkey()), hyperoctahedral(1)) > 0.1


@pytest.mark.parametrize("stride", [1, 2, 3, 4], ids=str)
def test_the_blur_keeps_means_and_stops_every_aliased_frequency(stride: int, getkey: Keys) -> None:
    pool, side = eqx.filter_jit(BlurPool(stride)), 4 * stride
    x = random_image(FIELDS, TORUS[:1], (side,), key=getkey())
    np.testing.assert_allclose(np.mean(pool(x).array, 0), np.mean(x.array, 0), atol=1e-6)
    for harmonic in range(1, stride):
        wave = np.cos(2 * np.pi * harmonic / stride * np.arange(side) + 0.3)[:, None]
        image = MultiImage.from_fields({scalar: jnp.asarray(wave, jnp.float32)}, ("periodic",))
        assert abs(np.asarray(image.array)[::stride]).max() > 0.5
        assert abs(np.asarray(pool(image).array)).max() < 1e-6


def test_the_filter_for_a_stride_of_two_is_the_binomial_one() -> None:
    impulses = jnp.eye(8)[:, :, None]
    image = MultiImage.from_fields({scalar: impulses}, ("periodic",))
    response = np.asarray(eqx.filter_jit(BlurPool(2))(image).array)[:, 1, 0]
    np.testing.assert_allclose(response, np.array([0, 1, 3, 3, 1, 0, 0, 0]) / 8)


@pytest.mark.parametrize("kind", ["periodic", "reflect", "replicate", "mirror"])
def test_a_constant_scalar_stays_constant_where_the_boundary_continues_it(kind: Boundary) -> None:
    constant = MultiImage.from_fields({scalar: jnp.full((4, 6, 1), 0.7)}, (kind, kind))
    np.testing.assert_allclose(eqx.filter_jit(BlurPool(2))(constant).array, 0.7, rtol=1e-6)


@pytest.mark.parametrize("grid", [(6,), (4, 6), (3, 1, 5)], ids=str)
def test_a_global_pool_takes_any_grid_and_leaves_one_pixel(grid: tuple[int, ...], getkey: Keys) -> None:
    x = random_image(FIELDS, TORUS[: len(grid)], grid, batch=(2,), key=getkey())
    axes = tuple(range(1, 1 + len(grid)))
    mean, largest = (eqx.filter_jit(pool)(x) for pool in (GlobalPool(), GlobalPool(kind="max_norm")))
    assert mean.grid == largest.grid == (1,) * len(grid)
    np.testing.assert_allclose(mean.array, np.mean(x.array, axes, keepdims=True), atol=1e-6)
    lengths = np.linalg.norm(x[vector], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(largest[vector], axis=-1), lengths.max(axes, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "max_norm"])
def test_a_global_pool_only_turns_values_and_ignores_translations(
    kind: Literal["mean", "max_norm"], getkey: Keys
) -> None:
    pool = eqx.filter_jit(GlobalPool(kind=kind))
    x = random_image(FIELDS, ("periodic", "periodic"), (4, 6), key=getkey())
    assert_commutes(pool, x, group_named("B2"), 1e-6)
    np.testing.assert_allclose(pool(translate(x, (1, -2))).array, pool(x).array, atol=1e-6)


def test_an_unknown_kind_of_global_pool_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="needs 'mean' or 'max_norm'"):
        GlobalPool(kind="sum")  # type: ignore[arg-type]


def test_a_group_pool_gives_scalars_that_no_element_changes(getkey: Keys) -> None:
    group = group_named("B2")
    fields = FieldType.parse("scalar + 2x pseudoscalar + vector + tensor(2) + 2x regular(B2)")
    pool, x = GroupPool(group, fields), random_image(fields, ("periodic", "mirror"), (4, 6), key=getkey())
    output = eqx.filter_jit(pool)(x)
    invariants, features = np.asarray(output.array), np.asarray(x.array)
    assert output.field_type == pool.out_type == FieldType.parse("7x scalar")
    assert_commutes(eqx.filter_jit(pool), x, group, 1e-6)
    np.testing.assert_array_equal(invariants[..., 0], features[..., 0])
    np.testing.assert_array_equal(invariants[..., 1:3], abs(features[..., 1:3]))
    np.testing.assert_allclose(invariants[..., 3:4], np.linalg.norm(x[vector], axis=-1), rtol=1e-6)
    np.testing.assert_array_equal(invariants[..., 5:], np.max(x[Regular(group)], axis=-1))


def test_what_a_smaller_group_leaves_alone_passes_through_a_group_pool(getkey: Keys) -> None:
    fields = FieldType.parse("pseudoscalar + regular(B2)")
    x = random_image(fields, ("periodic", "periodic"), (4, 4), key=getkey())
    pool = eqx.filter_jit(GroupPool(group_named("C4"), fields))
    np.testing.assert_array_equal(np.asarray(pool(x).array)[..., 0], np.asarray(x.array)[..., 0])
    assert_commutes(pool, x, group_named("C4"), 0.0)
    with pytest.raises(ValueError, match="not an element of the group C4"):
        GroupPool(group_named("B2"), FieldType.parse("regular(C4)"))(
            random_image(FieldType.parse("regular(C4)"), ("periodic", "periodic"), (4, 4), key=getkey())
        )


def test_the_gradient_of_a_norm_is_its_direction_and_zero_at_zero() -> None:
    field = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]]).reshape(3, 1, 1, 2)
    pool = GroupPool(group_named("B2"), FieldType.parse("vector"))
    image = MultiImage.from_fields({vector: field}, ("zero", "zero"))
    gradient = jax.grad(lambda array: pool(image.with_array(array)).array.sum())(image.array)
    np.testing.assert_allclose(gradient[:2, 0], [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    assert jnp.isfinite(gradient).all()


def test_a_classifier_of_group_values_does_not_see_rotations(getkey: Keys) -> None:
    group = group_named("B2")
    hidden = FieldType.parse("2x regular(B2)")
    conv, pool = Conv(group, FIELDS, hidden, key=getkey()), GroupPool(group, hidden)
    classify = eqx.filter_jit(lambda x: GlobalPool()(pool(conv(x))).array)
    x = random_image(FIELDS, ("periodic", "periodic"), (4, 4), key=getkey())
    turned = classify(stacked([numpy_act(g, x) for g in group]))
    np.testing.assert_allclose(turned, np.broadcast_to(classify(x), turned.shape), rtol=1e-5)
