import itertools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, PRNGKeyArray

from equifield import Group, MultiImage, Representation, SignedPermutation, Tensor
from equifield.boundary import BOUNDARIES, Boundary
from equifield.field_type import FieldType
from equifield.groups import hyperoctahedral
from equifield.multi_image import random_image
from equifield.ops import (
    Symmetry,
    TypedField,
    antisymmetric_part,
    average_pool,
    contract,
    convolve,
    from_independent_components,
    from_irreducible_parts,
    independent_components,
    irreducible_parts,
    kronecker_delta,
    levi_civita,
    levi_civita_contract,
    max_norm_pool,
    multicontract,
    norm,
    normalize,
    pad,
    symmetric_part,
    tensor_product,
    trace_part,
    traceless_part,
    transpose_axes,
    unpool,
)
from equifield.representations import pseudoscalar, pseudovector, scalar, vector
from tests.engine.laws import assert_commutes, numpy_act, worst_error

Keys = Callable[[], PRNGKeyArray]
GROUPS = [hyperoctahedral(d) for d in (1, 2, 3)]
every_group = pytest.mark.parametrize("group", GROUPS, ids=str)
every_dimension = pytest.mark.parametrize("ndim", [1, 2, 3, 4], ids="{}D".format)
GRID = {1: (4,), 2: (4, 6), 3: (2, 2, 2)}
TENSORS = [Tensor(k, p, down) for k in range(3) for p in (0, 1) for down in itertools.product((False, True), repeat=k)]
numbers = np.random.default_rng(0)


def field(tensor: Tensor, ndim: int, *leading: int) -> np.ndarray:
    return numbers.standard_normal((*leading, *tensor.shape(ndim)))


def _neighbours_swapped(ndim: int) -> list[tuple[int, ...]]:
    return [(*range(i), i + 1, i, *range(i + 2, ndim)) for i in range(ndim - 1)]


def example(tensor: Tensor, ndim: int, key: PRNGKeyArray, dtype: str = "float32") -> MultiImage:
    """Two channels behind solid walls."""
    types, wall = FieldType({tensor: 2}), BOUNDARIES[-1]
    return random_image(types, (wall,) * ndim, GRID[ndim], batch=(1,), dtype=jnp.dtype(dtype), key=key)


def mapped(tensor: Tensor, *operations: Callable[[Array], TypedField]) -> Callable[[MultiImage], MultiImage]:
    """The results of several operations on one field, as one image."""

    @jax.jit
    def function(image: MultiImage) -> MultiImage:
        fields: dict[Representation, list[Array]] = {}
        for operation in operations:
            array, result = operation(image[tensor])
            fields.setdefault(result, []).append(array)
        channel = image.grid_axes[-1] + 1
        joined = {result: jnp.concatenate(arrays, axis=channel) for result, arrays in fields.items()}
        return MultiImage.from_fields(joined, image.boundary)

    return function


@pytest.fixture
def double() -> Iterator[None]:
    """Double precision."""
    with jax.enable_x64(True):
        yield


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(TENSORS), st.sampled_from(TENSORS), st.integers(1, 4))
def test_a_tensor_product_multiplies_all_components_and_adds_types(left: Tensor, right: Tensor, ndim: int) -> None:
    a, b = field(left, ndim, 3), field(right, ndim, 2, 3)
    product, tensor = tensor_product(jnp.asarray(a), left, jnp.asarray(b), right)
    ab, cd = "ab"[: left.order], "cd"[: right.order]
    np.testing.assert_allclose(product, np.einsum(f"...{ab},...{cd}->...{ab}{cd}", a, b), rtol=1e-5, atol=1e-6)
    assert tensor == Tensor(left.order + right.order, left.parity ^ right.parity, left.covariant + right.covariant)


@pytest.mark.parametrize(
    ("pairs", "formula", "order"),
    [
        ([(0, 1)], "...aacd->...cd", 4),
        ([(3, 1)], "...abcb->...ac", 4),
        ([(0, 3), (2, 1)], "...abba->...", 4),
        ([(4, 0)], "...abcda->...bcd", 5),
        ([], "...abc->...abc", 3),
    ],
    ids=str,
)
def test_contractions_sum_over_pairs_of_equal_indices(
    pairs: Sequence[tuple[int, int]], formula: str, order: int
) -> None:
    tensor = Tensor(order, 1, tuple(axis % 2 == 1 for axis in range(order)))
    values = field(tensor, 3, 2)
    result, found = multicontract(jnp.asarray(values), tensor, pairs)
    np.testing.assert_allclose(result, np.einsum(formula, values), rtol=1e-5, atol=1e-5)
    left = [axis for axis in range(order) if all(axis not in pair for pair in pairs)]
    assert found == Tensor(len(left), 1, tuple(axis % 2 == 1 for axis in left))


def test_transposition_moves_axes_and_their_heights() -> None:
    tensor = Tensor(3, 0, (True, False, False))
    values = field(tensor, 2, 3)
    result, found = transpose_axes(jnp.asarray(values), tensor, (2, 0, 1))
    np.testing.assert_allclose(result, np.einsum("nabc->ncab", values), rtol=1e-6)
    assert found == Tensor(3, 0, (False, True, False))


def test_the_levi_civita_contraction_is_the_cross_product_in_space() -> None:
    u, v = field(vector, 3, 5), field(vector, 3, 5)
    product, tensor = tensor_product(jnp.asarray(u), vector, jnp.asarray(v), vector)
    cross, found = levi_civita_contract(product, tensor, (0, 1), 3)
    np.testing.assert_allclose(cross, np.cross(u, v), rtol=1e-4, atol=1e-5)
    assert found == pseudovector


def test_the_levi_civita_contraction_turns_by_90_degrees_in_the_plane() -> None:
    turned, found = levi_civita_contract(jnp.array([[1.0, 0.0], [0.0, 1.0]]), Tensor(1, 0, (True,)), (0,), 2)
    np.testing.assert_array_equal(turned, [[0.0, 1.0], [-1.0, 0.0]])
    assert found == Tensor(1, 1, (True,))


@every_dimension
def test_the_levi_civita_contraction_changes_order_and_parity(ndim: int) -> None:
    tensor = Tensor(ndim, 1)
    values = field(tensor, ndim, 2)
    axes = tuple(range(1, ndim))[::-1]
    result, found = levi_civita_contract(jnp.asarray(values), tensor, axes, ndim)
    indices, contracted = "abcd"[:ndim], "abcd"[1:ndim][::-1]
    reference = np.einsum(f"n{indices},{contracted}z->naz", values, levi_civita(ndim))
    np.testing.assert_allclose(result, reference, rtol=1e-5, atol=1e-5)
    assert (found.order, found.parity) == (tensor.order - ndim + 2, 0)


@every_dimension
def test_the_symbols_are_invariant_under_every_element(ndim: int) -> None:
    transpositions = (SignedPermutation(swapped, (1,) * ndim) for swapped in _neighbours_swapped(ndim))
    for g in (SignedPermutation.flip(ndim, 0), *transpositions):  # they generate the group
        for symbol, tensor in ((kronecker_delta(ndim), Tensor(2)), (levi_civita(ndim), Tensor(ndim, 1))):
            np.testing.assert_allclose(tensor.matrix(g) @ symbol.reshape(-1), symbol.reshape(-1), atol=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        levi_civita(ndim)[...] = 0.0


def test_products_of_deltas_are_invariant_under_any_rotation_and_one_where_all_agree_is_not() -> None:
    turn = np.linalg.qr(numbers.standard_normal((3, 3)))[0]
    four = np.kron(np.kron(turn, turn), np.kron(turn, turn))
    delta = kronecker_delta(3)
    product = np.einsum("ij,kl->ijkl", delta, delta).reshape(-1)
    np.testing.assert_allclose(four @ product, product, atol=1e-12)
    all_agree = np.einsum("ij,jk,kl->ijkl", delta, delta, delta).reshape(-1)
    assert np.abs(four @ all_agree - all_agree).max() > 0.1


@pytest.mark.parametrize(
    ("group", "dtype", "tolerance"), [*((g, "float64", 1e-12) for g in GROUPS), (GROUPS[2], "float32", 1e-5)], ids=str
)
def test_the_algebra_commutes_with_every_element(group: Group, dtype: str, tolerance: float, getkey: Keys) -> None:
    ndim = group.dimension
    tensor = Tensor(3, 1)
    function = mapped(
        tensor,
        lambda x: tensor_product(x, tensor, contract(x, tensor, 0, 2)[0], Tensor(1, 1)),
        lambda x: contract(x, tensor, 1, 2),
        lambda x: transpose_axes(x, tensor, (2, 0, 1)),
        lambda x: levi_civita_contract(x, tensor, tuple(range(ndim - 1)), ndim),
        lambda x: norm(x, tensor),
        lambda x: (normalize(x, tensor, tuple(range(x.ndim - 4 - ndim, x.ndim - 4))), tensor),
    )
    with jax.enable_x64(dtype == "float64"):
        assert_commutes(function, example(tensor, ndim, getkey(), dtype), group, tolerance)


@every_group
def test_the_parts_commute_with_every_element(group: Group, double: None, getkey: Keys) -> None:
    tensor = Tensor(2)
    function = mapped(
        tensor,
        lambda x: (symmetric_part(x, tensor), tensor),
        lambda x: (antisymmetric_part(x, tensor), tensor),
        lambda x: (trace_part(x, tensor), tensor),
        *(lambda x, i=i: irreducible_parts(x, tensor)[i] for i in range(3)),
    )
    assert_commutes(function, example(tensor, group.dimension, getkey(), "float64"), group, 1e-12)


@pytest.mark.parametrize("group", GROUPS[1:], ids=str)
def test_the_law_can_fail(group: Group, getkey: Keys) -> None:
    """The control: a contraction with the Levi-Civita symbol that forgets the parity."""
    ndim, tensor = group.dimension, Tensor(2)
    forgetful = mapped(
        tensor, lambda x: (levi_civita_contract(x, tensor, tuple(range(ndim - 1)), ndim)[0], Tensor(4 - ndim))
    )
    assert worst_error(forgetful, example(tensor, ndim, getkey()), group) > 0.1


def test_norms_have_finite_gradients_and_zero_fields_stay_zero() -> None:
    values = jnp.zeros((3, 3, 2, 2)).at[0, 0].set(jnp.array([[3.0, 0.0], [0.0, -4.0]]))
    lengths, found = norm(values, Tensor(2))
    assert found == scalar
    np.testing.assert_allclose(lengths, jnp.zeros((3, 3)).at[0, 0].set(5.0))
    gradient = jax.jit(jax.grad(lambda x: norm(x, Tensor(2))[0].sum()))(values)
    np.testing.assert_allclose(gradient, values / 5, atol=1e-6)
    power = jax.jit(jax.value_and_grad(lambda x: jnp.square(normalize(x, Tensor(2), (0, 1))).sum()))
    for x in (values, 0 * values):
        total, slope = power(x)
        np.testing.assert_allclose(total, 1.0 if x is values else 0.0, rtol=1e-6)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("dtype", "size"), [("bfloat16", 1e-30), ("float16", 3e4), ("float32", 1e-21), ("float32", 1e30)], ids=str
)
def test_the_precision_stays_and_squares_of_any_size_are_no_trouble(dtype: str, size: float) -> None:
    values = jnp.full((2, 2, 2), size, dtype)
    lengths, unit = jax.jit(lambda x: (norm(x, vector)[0], normalize(x, vector, (0, 1))))(values)
    assert lengths.dtype == unit.dtype == dtype
    np.testing.assert_allclose(lengths.astype(float), size * 2**0.5, rtol=1e-2)
    np.testing.assert_allclose(unit.astype(float), 0.5**0.5, rtol=1e-2)


@every_dimension
def test_parts_add_up_and_have_their_symmetry(ndim: int) -> None:
    tensor = Tensor(3, 0, (True, False, True))
    values = jnp.asarray(field(tensor, ndim, 2))
    even, odd = symmetric_part(values, tensor, 0, 2), antisymmetric_part(values, tensor, 0, 2)
    np.testing.assert_allclose(even + odd, values, atol=1e-6)
    np.testing.assert_allclose(even, np.swapaxes(even, -1, -3), atol=1e-6)
    np.testing.assert_allclose(odd, -np.swapaxes(odd, -1, -3), atol=1e-6)
    rest = traceless_part(values, tensor, 1, 2)
    np.testing.assert_allclose(rest + trace_part(values, tensor, 1, 2), values, atol=1e-6)
    np.testing.assert_allclose(np.einsum("nabb->na", rest), np.zeros((2, ndim)), atol=1e-5)


@every_dimension
def test_irreducible_parts_put_together_give_the_tensor(ndim: int) -> None:
    values = field(Tensor(2, 1), ndim, 5)
    trace, antisymmetric, traceless = irreducible_parts(jnp.asarray(values), Tensor(2, 1))
    types = {1: Tensor(2, 1), 2: scalar, 3: vector, 4: Tensor(2, 1)}
    assert (trace[1], antisymmetric[1], traceless[1]) == (pseudoscalar, types[ndim], Tensor(2, 1))
    together = from_irreducible_parts(trace[0], antisymmetric[0], traceless[0], Tensor(2, 1))
    np.testing.assert_allclose(together, values, rtol=1e-5, atol=1e-6)


def test_the_antisymmetric_part_of_a_velocity_gradient_is_the_vorticity() -> None:
    gradient = jnp.array([[0.0, 2.0], [-3.0, 0.0]])  # d_x v_y = 2, d_y v_x = -3
    assert float(irreducible_parts(gradient, Tensor(2))[1][0]) == 5.0
    spin = np.zeros((3, 3))
    spin[0, 1], spin[1, 0] = 2.0, -3.0
    np.testing.assert_array_equal(irreducible_parts(jnp.asarray(spin), Tensor(2))[1][0], [0.0, 0.0, 5.0])


@pytest.mark.parametrize(
    ("symmetry", "counts"),
    [
        ("symmetric", (1, 3, 6, 10)),
        ("antisymmetric", (0, 1, 3, 6)),
        ("trace", (1, 1, 1, 1)),
        ("traceless", (0, 2, 5, 9)),
    ],
)
def test_independent_components_keep_the_norm_and_come_back(symmetry: Symmetry, counts: tuple[int, ...]) -> None:
    for ndim, count in enumerate(counts, start=1):
        components = numbers.standard_normal((3, count)).astype(np.float32)
        matrices = from_independent_components(jnp.asarray(components), symmetry, ndim)
        np.testing.assert_allclose(independent_components(matrices, symmetry), components, rtol=1e-5, atol=1e-6)
        lengths = np.linalg.norm(matrices.reshape(3, -1), axis=1)
        np.testing.assert_allclose(lengths, np.linalg.norm(components, axis=1), rtol=1e-5, atol=1e-6)
        sign = -1 if symmetry == "antisymmetric" else 1
        np.testing.assert_allclose(matrices, sign * np.swapaxes(matrices, 1, 2), atol=1e-6)
        if symmetry == "traceless":
            np.testing.assert_allclose(np.trace(matrices, axis1=1, axis2=2), 0.0, atol=1e-6)
    with pytest.raises(ValueError, match=f"has {count} independent components, not 99"):
        from_independent_components(jnp.zeros(99), symmetry, ndim)


def test_a_convolution_sums_tensor_products_over_offsets(getkey: Keys) -> None:
    x = random_image(FieldType.parse("1x scalar + 2x pseudovector"), ("replicate", "mirror"), (4, 5), key=getkey())
    filter = jax.random.normal(getkey(), (3, 1, 2, 2))
    result = convolve(x, filter, Tensor(2, 1), dilation=2)
    padded = x.with_array(pad(x, (2, 0), (2, 0)))
    for source, target in ((scalar, Tensor(2, 1)), (pseudovector, Tensor(3, 0))):
        letters = "a"[: source.order]
        expected = sum(
            np.einsum(f"xyn{letters},cd->xyn{letters}cd", padded[source][2 * tap : 2 * tap + 4], filter[tap, 0])
            for tap in range(3)
        )
        np.testing.assert_allclose(result[target], expected, rtol=1e-5, atol=1e-5)


@every_group
def test_turning_image_and_filter_turns_their_convolution(group: Group, double: None, getkey: Keys) -> None:
    ndim, tensor = group.dimension, pseudovector
    x = example(vector, ndim, getkey(), "float64")
    filter = random_image(FieldType({tensor: 1}), x.boundary, (3,) * ndim, dtype=jnp.float64, key=getkey())
    function = jax.jit(lambda image, filter: convolve(image, filter[tensor][..., 0, :], tensor))
    expected = function(x, filter)
    for g in group.elements[:: max(1, group.order // 8)]:
        turned = function(numpy_act(g, x), numpy_act(g, filter))
        np.testing.assert_allclose(turned.array, numpy_act(g, expected).array, atol=1e-11)


@pytest.mark.parametrize("kind", BOUNDARIES)
def test_a_convolution_with_an_invariant_filter_commutes_whatever_the_boundary(kind: Boundary, getkey: Keys) -> None:
    x = random_image(FieldType.parse("pseudoscalar + vector"), (kind, "periodic"), (4, 4), batch=(2,), key=getkey())
    outwards = jnp.stack(jnp.meshgrid(*[jnp.arange(-1.0, 2.0)] * 2, indexing="ij"), axis=-1)
    assert_commutes(jax.jit(lambda image: convolve(image, outwards, vector)), x, hyperoctahedral(2), 1e-5)


@every_group
def test_pooling_commutes_with_every_element(group: Group, double: None, getkey: Keys) -> None:
    x = example(Tensor(1, 1), group.dimension, getkey(), "float64")
    for pool in (average_pool, max_norm_pool, unpool):
        assert_commutes(jax.jit(pool), x, group, 1e-12)


def test_pooling_takes_means_and_largest_norms_of_windows() -> None:
    values = numbers.standard_normal((4, 6, 1, 2)).astype(np.float32)
    x = MultiImage.from_fields({vector: jnp.asarray(values)}, ("zero", "zero"))
    cells = values.reshape(2, 2, 2, 3, 2).swapaxes(1, 2).reshape(2, 2, 6, 2)
    np.testing.assert_allclose(average_pool(x, (2, 3))[vector][..., 0, :], cells.mean(2), atol=1e-6)
    largest = np.take_along_axis(cells, np.linalg.norm(cells, axis=-1).argmax(2)[..., None, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(max_norm_pool(x, (2, 3))[vector][..., 0, :], largest, atol=1e-6)
    np.testing.assert_array_equal(unpool(x, (1, 2)).array, np.repeat(x.array, 2, axis=1))
    height = MultiImage.from_fields({scalar: jnp.array([-3.0, 1.0])[:, None]}, ("zero",))
    assert max_norm_pool(height).array.item() == -3.0
    assert max_norm_pool(height, signed_scalars=True).array.item() == 1.0


def test_what_cannot_be_done_is_refused() -> None:
    two, mixed = jnp.zeros((3, 3, 2, 2)), Tensor(2, 0, (False, True))
    x = MultiImage(jnp.zeros((4, 6, 1)), FieldType.parse("scalar"), ("zero", "zero"))
    for attempt, message in (
        (lambda: contract(two, Tensor(2), 0, 2), r"each from 0 to order - 1.*axes \(0, 2\)"),
        (lambda: multicontract(two, Tensor(2), [(0, 1), (1, 0)]), "needs different axes"),
        (lambda: transpose_axes(two, Tensor(2), (0,)), "needs all 2 axes"),
        (lambda: levi_civita_contract(two, Tensor(2), (0, 1), 2), "contracts exactly 1 axes"),
        (lambda: symmetric_part(two, mixed), "both up or both down"),
        (lambda: irreducible_parts(two[..., 0], vector), "tensors of order 2, not a vector"),
        (lambda: convolve(x, jnp.zeros((2, 3)), scalar), "odd sizes"),
        (lambda: convolve(x, jnp.zeros((3, 3)), vector), "needs a filter of shape"),
        (lambda: convolve(x, jnp.zeros((3, 3)), scalar, dilation=0), "positive dilation"),
        (lambda: max_norm_pool(x, 4), "Sides that work: 4, 4 or 8"),
        (lambda: unpool(x, (2,)), "one positive number for each of 2 grid axes"),
    ):
        with pytest.raises(ValueError, match=message):
            attempt()
