"""Convolutions and linear maps: where their taps lie, what lies beyond the edges, and what they refuse."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.linalg import block_diag

from equifield import FieldType, MultiImage, SignedPermutation
from equifield.boundary import BOUNDARIES, Boundary
from equifield.groups import flips, group_named
from equifield.multi_image import random_image
from equifield.nn import Conv, Linear
from equifield.nn._stencil import Stencil
from equifield.ops import translate
from equifield.representations import vector
from tests.engine.laws import assert_commutes, worst_error

Keys = Callable[[], PRNGKeyArray]
Kernel = Float[Array, "*sizes in_features out_features"]
FIELDS = FieldType.parse("scalar + vector")
B2 = group_named("B2")
few = settings(max_examples=15, deadline=None, derandomize=True, database=None)
convolve = eqx.filter_jit(Stencil.convolve)
Line = tuple[int, int, int, int, Boundary]


@st.composite
def lines(draw: st.DrawFn, boundaries: tuple[Boundary, ...] = BOUNDARIES) -> Line:
    """Size, stride and dilation of a kernel on one axis, and a side and a boundary on which it lies symmetrically."""
    size, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    extent, kind = (size - 1) * dilation + 1, draw(st.sampled_from(boundaries))
    alike = (extent - stride) % 2 == 0
    assume(alike or kind != "periodic")
    side = (stride if alike else 2 - extent % 2) + stride * draw(st.integers(0, 3))
    assume(side > extent or kind not in ("reflect", "mirror"))
    return size, stride, dilation, side, kind


def pixel(image: MultiImage, index: list[int]) -> np.ndarray:
    """The packed value at any index, inside or beyond the edges, straight from the definition of the boundaries."""
    place, value = [], np.eye(image.array.shape[-1])
    for axis, (i, side, kind) in enumerate(zip(index, image.grid, image.boundary, strict=True)):
        if not 0 <= i < side:
            if kind == "zero":
                return np.zeros(image.array.shape[-1])
            if kind == "mirror":
                flip = SignedPermutation.flip(image.ndim, axis)
                value = value @ block_diag(*(rho.matrix(flip) for rho, n in image.field_type for _ in range(n)))
            i = {
                "periodic": i % side,
                "reflect": -i if i < 0 else 2 * (side - 1) - i,
                "replicate": min(max(i, 0), side - 1),
                "mirror": -1 - i if i < 0 else 2 * side - 1 - i,
            }[kind]
        place.append(i)
    return np.asarray(value @ np.asarray(image.array)[tuple(place)])


def by_definition(stencil: Stencil, image: MultiImage, kernel: Kernel, grid: tuple[int, ...]) -> np.ndarray:
    """The sum of K(a) x(p + a) with the points p of both grids lying symmetrically about one centre.

    Places are counted in half pixels of the finer grid, from the centre.
    """
    weights, result = np.asarray(kernel), np.zeros((*grid, kernel.shape[-1]))
    for target, tap in itertools.product(np.ndindex(*grid), np.ndindex(*stencil.sizes)):
        index = []
        for axis, (stride, dilation) in enumerate(zip(stencil.stride, stencil.dilation, strict=True)):
            out, into = (1, stride) if stencil.transposed else (stride, 1)
            place = out * (2 * target[axis] - grid[axis] + 1) + dilation * (2 * tap[axis] - stencil.sizes[axis] + 1)
            steps, between = divmod(place + into * (image.grid[axis] - 1), 2 * into)
            assert stencil.transposed or not between, "a tap lies between two pixels"
            if between:
                break  # nothing lies between two pixels of the coarse grid
            index.append(steps)
        else:
            result[target] += pixel(image, index) @ weights[tap]
    return result


def example(stencil: Stencil, grid: tuple[int, ...], boundary: tuple[Boundary, ...]) -> tuple[MultiImage, Kernel]:
    """A random image and a random unconstrained kernel to three features."""
    features, numbers = FIELDS.size(len(grid)), np.random.default_rng(0)
    x = MultiImage(jnp.asarray(numbers.normal(size=(*grid, features))), FIELDS, boundary)
    return x, jnp.asarray(numbers.normal(size=(*stencil.sizes, features, 3)))


@few
@given(lines(), st.booleans())
def test_a_convolution_on_a_line_is_what_the_definition_says(line: Line, transposed: bool) -> None:
    size, stride, dilation, side, kind = line
    stencil = Stencil((size,), (stride,), (dilation,), transposed)
    with jax.enable_x64(True):
        x, kernel = example(stencil, (side,), (kind,))
        result = convolve(stencil, x, kernel, None, FieldType.parse("3x scalar"))
        np.testing.assert_allclose(result.array, by_definition(stencil, x, kernel, result.grid), atol=1e-12)


@pytest.mark.parametrize(
    ("boundary", "transposed"),
    [(("mirror", "zero"), False), (("reflect", "mirror"), True), (("periodic", "mirror"), False)],
    ids=str,
)
def test_a_convolution_in_the_plane_is_what_the_definition_says(
    boundary: tuple[Boundary, ...], transposed: bool
) -> None:
    stencil = Stencil((3, 2), (1, 2), (2, 1), transposed)
    with jax.enable_x64(True):
        x, kernel = example(stencil, (5, 4), boundary)
        result = convolve(stencil, x, kernel, None, FieldType.parse("3x scalar"))
        assert result.grid == ((5, 8) if transposed else (5, 2))
        np.testing.assert_allclose(result.array, by_definition(stencil, x, kernel, result.grid), atol=1e-12)


def assert_adjoint(stencil: Stencil, grid: tuple[int, ...], boundary: tuple[Boundary, ...]) -> None:
    """<K x, y> = <x, K^T y>, where K^T convolves the other way with K(-a)^T."""
    back = Stencil(stencil.sizes, stencil.stride, stencil.dilation, True)
    with jax.enable_x64(True):
        x, kernel = example(stencil, grid, boundary)
        result = convolve(stencil, x, kernel, None, FieldType.parse("3x scalar"))
        y = result.with_array(jnp.asarray(np.random.default_rng(1).normal(size=result.array.shape)))
        adjoint = np.swapaxes(np.flip(kernel, tuple(range(len(grid)))), -1, -2)
        returned = convolve(back, y, jnp.asarray(adjoint), None, FIELDS)
        assert returned.grid == x.grid
        np.testing.assert_allclose(np.vdot(result.array, y.array), np.vdot(x.array, returned.array), rtol=1e-11)


@few
@given(lines(("periodic", "zero")))
def test_transposed_is_the_adjoint_of_strided_on_a_line(line: Line) -> None:
    size, stride, dilation, side, kind = line
    assert_adjoint(Stencil((size,), (stride,), (dilation,), False), (side,), (kind,))


@pytest.mark.parametrize(
    ("sizes", "grid"), [((2, 3), (4, 6)), ((4, 1), (6, 3)), ((2, 3, 1), (2, 3, 3))], ids=["2x3", "4x1", "2x3x1"]
)
def test_transposed_is_the_adjoint_of_strided_in_the_plane_and_in_space(
    sizes: tuple[int, ...], grid: tuple[int, ...]
) -> None:
    boundary: tuple[Boundary, ...] = ("periodic", "zero", "periodic")
    assert_adjoint(Stencil(sizes, (2, 3, 1)[: len(grid)], (1,) * len(grid), False), grid, boundary[: len(grid)])


LAWS: list[tuple[dict[str, Any], tuple[int, int], tuple[Boundary, Boundary]]] = [
    ({"kernel_size": 2, "stride": 2}, (4, 6), ("periodic", "mirror")),
    ({"kernel_size": 3, "stride": 2}, (3, 5), ("mirror", "replicate")),
    ({"kernel_size": 2}, (3, 4), ("reflect", "mirror")),
    ({"kernel_size": 4, "dilation": 2}, (8, 7), ("zero", "mirror")),
    ({"kernel_size": 2, "stride": 2, "transposed": True}, (2, 3), ("mirror", "periodic")),
    ({"kernel_size": 4, "stride": 2, "transposed": True}, (3, 2), ("reflect", "mirror")),
    ({"kernel_size": 3, "stride": 2, "transposed": True}, (2, 3), ("mirror", "zero")),
]


@pytest.mark.parametrize(("options", "grid", "boundary"), LAWS, ids=[str(options) for options, *_ in LAWS])
def test_every_kernel_stride_and_dilation_commutes(
    options: dict[str, Any], grid: tuple[int, ...], boundary: tuple[Boundary, ...], getkey: Keys
) -> None:
    with jax.enable_x64(True):
        conv = Conv(B2, FIELDS, FIELDS, key=getkey(), **options)
        x = random_image(FIELDS, boundary, grid, dtype=jnp.float64, key=getkey())
        assert_commutes(eqx.filter_jit(conv), x, B2, 1e-12)


def test_settings_may_differ_along_axes_that_the_group_does_not_exchange(getkey: Keys) -> None:
    options: dict[str, Any] = {"kernel_size": (3, 2), "stride": (1, 2), "dilation": (2, 1)}
    conv = eqx.filter_jit(Conv(flips(2), FIELDS, FIELDS, key=getkey(), **options))
    x = random_image(FIELDS, ("mirror", "periodic"), (5, 4), key=getkey())
    assert conv(x).grid == (5, 2)
    assert_commutes(conv, x, flips(2), 1e-6)
    with pytest.raises(ValueError, match=r"`kernel_size=\(3, 2\)` is not mapped to itself by .* of the group B2"):
        Conv(B2, FIELDS, FIELDS, kernel_size=(3, 2), key=getkey())


@pytest.mark.parametrize("name", ["B3", "flips4"])
def test_volumes_and_their_histories_are_halved_and_doubled(name: str, getkey: Keys) -> None:
    group = group_named(name)
    d = group.dimension
    down, up = (Conv(group, FIELDS, FIELDS, kernel_size=2, stride=2, transposed=t, key=getkey()) for t in (False, True))
    boundary: tuple[Boundary, ...] = ("mirror", "periodic", "zero", "zero")
    x = random_image(FIELDS, boundary[:d], (4, 2, 2, 2)[:d], key=getkey())
    both = eqx.filter_jit(lambda image: up(down(image)))
    assert_commutes(both, x, group, 1e-6)
    assert both(x).grid == x.grid


def test_keeping_every_second_output_on_an_even_side_would_break_the_law(getkey: Keys) -> None:
    """The control: a kernel of side 3 with stride 2 as other packages place it."""
    conv = Conv(group_named("B1"), FIELDS, FIELDS, key=getkey())
    every_second = eqx.filter_jit(lambda x: (y := conv(x)).with_array(y.array[..., ::2, :]))
    x = random_image(FIELDS, ("zero",), (6,), key=getkey())
    assert worst_error(every_second, x, group_named("B1")) > 0.1
    with pytest.raises(ValueError, match="cannot lie symmetrically on .*6 pixels of grid axis 0.*work: 5 or 7"):
        Conv(group_named("B1"), FIELDS, FIELDS, stride=2, key=getkey())(x)


@pytest.mark.parametrize(("transposed", "shift"), [(False, (2, -2)), (True, (1, -1))], ids=["strided", "transposed"])
def test_translations_by_whole_strides_commute(transposed: bool, shift: tuple[int, int], getkey: Keys) -> None:
    conv = eqx.filter_jit(Conv(B2, FIELDS, FIELDS, kernel_size=4, stride=2, transposed=transposed, key=getkey()))
    x = random_image(FIELDS, ("periodic", "periodic"), (4, 6), key=getkey())
    steps = (2, -2) if transposed else (1, -1)
    np.testing.assert_allclose(conv(translate(x, shift)).array, translate(conv(x), steps).array, atol=1e-5)


def test_places_and_grids_that_break_the_law_are_refused(getkey: Keys) -> None:
    def conv(image: MultiImage, **options: Any) -> MultiImage:
        return Conv(B2, FIELDS, FIELDS, key=getkey(), **options)(image)

    torus = random_image(FIELDS, ("periodic", "periodic"), (4, 6), key=getkey())
    with pytest.raises(ValueError, match="no symmetric place on .*grid axis 0"):
        conv(torus, kernel_size=2)
    with pytest.raises(ValueError, match="4 pixels of grid axis 0.*Sides that work: 3 or 6"):
        conv(torus, stride=3)
    with pytest.raises(ValueError, match="the boundary 'mirror' continues for at most 1 pixels, but 2 are needed"):
        conv(random_image(FIELDS, ("mirror", "mirror"), (1, 4), key=getkey()), dilation=2)
    for refused in ({"kernel_size": 0}, {"stride": (1, 1, 1)}, {"dilation": -1}):
        with pytest.raises(ValueError, match="needs one positive number per axis"):
            conv(torus, **refused)
    with pytest.raises(ValueError, match="was built for 1x scalar"):
        Linear(B2, FieldType.parse("scalar"), FieldType.parse("scalar"), key=getkey())(torus)
    with pytest.raises(ValueError, match="acts on 2 axes; the image has 1"):
        conv(random_image(FIELDS, ("zero",), (4,), key=getkey()))


def test_a_wall_needs_a_representation_that_knows_the_reflection(getkey: Keys) -> None:
    fields = FieldType.parse("regular(C4)")
    conv = Conv(group_named("C4"), fields, fields, key=getkey())
    x = random_image(fields, ("mirror", "zero"), (3, 3), key=getkey())
    with pytest.raises(ValueError, match="'mirror' of grid axis 0.*not an element of the group C4"):
        conv(x)


def test_an_output_that_no_input_reaches_is_refused_and_missing_pairs_are_listed(getkey: Keys) -> None:
    pseudo = FieldType.parse("pseudoscalar")
    with pytest.raises(ValueError, match="No B2-equivariant filter of sizes .* leads from any of 1x scalar to pseudo"):
        Conv(B2, FieldType.parse("scalar"), pseudo, key=getkey())
    linear = Linear(B2, FIELDS, FIELDS, key=getkey())
    pairs = {f"{source} -> {target}" for source, target in linear.filters.missing}
    assert pairs == {"scalar -> vector", "vector -> scalar"}
    assert Conv(B2, FIELDS, FIELDS, key=getkey()).filters.missing == ()


def test_filters_are_no_leaves_and_weights_are(getkey: Keys) -> None:
    conv = Conv(B2, FieldType.parse("vector"), FieldType.parse("2x vector"), key=getkey())
    assert [leaf.shape for leaf in jax.tree.leaves(conv)] == [(len(conv.filters.basis(vector, vector)), 1, 2)]


def test_only_what_is_invariant_has_a_bias(getkey: Keys) -> None:
    everything = FieldType.parse("scalar + pseudoscalar + vector + pseudovector + tensor(2) + regular(C4)")
    for name, invariant in (
        ("C4", {"scalar", "pseudoscalar", "tensor(2)", "regular(C4)"}),
        ("trivial2", {str(representation) for representation in everything.representations}),
    ):
        constant = Linear(group_named(name), everything, everything, key=getkey()).constant
        assert constant is not None and constant.weights.keys() == invariant
    assert Linear(B2, FIELDS, FIELDS, use_bias=False, key=getkey()).bias() is None


@pytest.mark.parametrize(
    ("size", "stride", "transposed"),
    [(3, 1, False), (3, 3, False), (2, 2, True)],
    ids=["dense", "strided", "transposed"],
)
def test_the_first_weights_keep_the_variance_of_every_type(
    size: int, stride: int, transposed: bool, getkey: Keys
) -> None:
    fields = FieldType.parse("12x scalar + 12x pseudoscalar + 12x vector + 8x tensor(2)")
    x = random_image(fields, ("periodic", "periodic"), (6, 6), batch=(4,), key=getkey())
    conv = Conv(B2, fields, fields, kernel_size=size, stride=stride, transposed=transposed, key=getkey())
    for _, field in eqx.filter_jit(conv)(x).items():
        assert 0.8 < float(np.std(np.asarray(field))) < 1.2


def test_a_linear_layer_is_a_convolution_with_a_kernel_of_one_pixel(getkey: Keys) -> None:
    key = getkey()
    x = random_image(FIELDS, ("mirror", "periodic"), (3, 4), batch=(2, 2), key=getkey())
    conv, linear = Conv(B2, FIELDS, FIELDS, kernel_size=1, key=key), Linear(B2, FIELDS, FIELDS, key=key)
    np.testing.assert_allclose(linear(x).array, conv(x).array, rtol=1e-6)


def test_weights_of_single_precision_keep_the_law_in_double(getkey: Keys) -> None:
    fields = FieldType.parse("scalar + vector + tensor(2)")
    conv = Conv(B2, fields, fields, key=getkey())
    with jax.enable_x64(True):
        x = random_image(fields, ("mirror", "periodic"), (4, 4), dtype=jnp.float64, key=getkey())
        assert_commutes(eqx.filter_jit(conv), x, B2, 1e-12)
