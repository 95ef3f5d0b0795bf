from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, Group, MultiImage
from equifield.boundary import BOUNDARIES
from equifield.groups import SignedPermutation, flips, hyperoctahedral, named_groups
from equifield.multi_image import Boundary, random_image
from equifield.ops import act, act_by_index, concatenate, pad, split, translate, turn
from equifield.representations import pseudoscalar, scalar, vector
from tests.engine.laws import numpy_act

Keys = Callable[[], PRNGKeyArray]
FIELDS = FieldType.parse("1x scalar + 1x pseudoscalar + 2x vector + 1x tensor(2)")
GRID = (2, 4, 6)
BOUNDARY: tuple[Boundary, ...] = ("periodic", "zero", "periodic")
QUARTER_TURN = SignedPermutation((1, 0), (1, -1))
every_group = pytest.mark.parametrize("group", [g for d in (1, 2, 3) for g in named_groups(d)], ids=str)


def example(dimension: int, key: PRNGKeyArray) -> MultiImage:
    return random_image(FIELDS, BOUNDARY[:dimension], GRID[:dimension], batch=(2,), key=key)


@every_group
def test_acting_is_what_the_definition_says(group: Group, getkey: Keys) -> None:
    x = example(group.dimension, getkey())
    for g in group:
        turned, law = act(g, x), numpy_act(g, x)
        assert turned.boundary == law.boundary
        np.testing.assert_array_equal(turned.array, law.array)


@every_group
def test_the_definition_respects_products_and_is_exact(group: Group, getkey: Keys) -> None:
    x = example(group.dimension, getkey())
    for g in group:
        np.testing.assert_array_equal(numpy_act(g.inverse(), numpy_act(g, x)).array, x.array)
    g, h = group.elements[-1], group.elements[group.order // 2]
    np.testing.assert_array_equal(numpy_act(g @ h, x).array, numpy_act(g, numpy_act(h, x)).array)


@pytest.mark.parametrize("group", [hyperoctahedral(d) for d in (1, 2, 3)], ids=str)
def test_the_element_may_be_traced_and_mapped(group: Group, getkey: Keys) -> None:
    d = group.dimension
    walls: tuple[Boundary, ...] = ("mirror", "mirror", "mirror")
    x = random_image(FIELDS, walls[:d], (4,) * d, batch=(2,), key=getkey())
    by_index = jax.jit(jax.vmap(lambda index: act_by_index(group, index, x).array))
    turned = by_index(jnp.arange(group.order))
    for g, array in zip(group, turned, strict=True):
        np.testing.assert_array_equal(array, numpy_act(g, x).array)


def test_a_traced_element_cannot_change_the_grid(getkey: Keys) -> None:
    with pytest.raises(ValueError, match=r"Use `act` with one element at a time"):
        act_by_index(hyperoctahedral(2), 1, example(2, getkey()))
    uneven = random_image(FIELDS, ("zero", "mirror"), (4, 6), key=getkey())
    half_turn = act_by_index(flips(2), 1, uneven)
    np.testing.assert_array_equal(half_turn.array, act(flips(2).elements[1], uneven).array)


def test_a_value_that_is_not_finite_stays_in_its_component() -> None:
    u = jnp.zeros((2, 2, 1, 2)).at[0, 0, 0, 0].set(jnp.inf)
    turned = act(QUARTER_TURN, MultiImage.from_fields({vector: u}, ("periodic", "periodic")))
    assert int(jnp.isinf(turned.array).sum()) == 1 and not bool(jnp.isnan(turned.array).any())


def test_a_quarter_turn_turns_positions_and_arrows() -> None:
    u = jnp.zeros((3, 3, 1, 2)).at[2, 1, 0].set(jnp.array([1.0, 0.0]))  # an arrow along x, on the positive x axis
    turned = act(QUARTER_TURN, MultiImage.from_fields({vector: u}, ("periodic", "periodic")))
    expected = jnp.zeros((3, 3, 1, 2)).at[1, 2, 0].set(jnp.array([0.0, 1.0]))  # an arrow along y, on the y axis
    np.testing.assert_array_equal(turned[vector], expected)


def test_a_quarter_turn_exchanges_sides_and_boundaries() -> None:
    x = random_image(FieldType.parse("scalar"), ("periodic", "zero"), (4, 6), key=jax.random.key(0))
    turned = act(QUARTER_TURN, x)
    assert (turned.grid, turned.boundary) == ((6, 4), ("zero", "periodic"))


def test_a_reflection_changes_the_sign_of_a_pseudoscalar_only() -> None:
    ones = jnp.ones((2, 2, 1))
    x = MultiImage.from_fields({scalar: ones, pseudoscalar: ones}, ("periodic", "periodic"))
    reflected = act(SignedPermutation((0, 1), (-1, 1)), x)
    np.testing.assert_array_equal(reflected[scalar], ones)
    np.testing.assert_array_equal(reflected[pseudoscalar], -ones)


def test_acting_is_the_same_under_jit_and_vmap(getkey: Keys) -> None:
    x = example(2, getkey())
    for turned in (jax.jit(lambda x: act(QUARTER_TURN, x))(x), jax.vmap(lambda x: act(QUARTER_TURN, x))(x)):
        np.testing.assert_array_equal(turned.array, act(QUARTER_TURN, x).array)


def test_translations_compose_and_refuse_walls(getkey: Keys) -> None:
    x = example(3, getkey())
    np.testing.assert_array_equal(translate(translate(x, (1, 0, 4)), (1, 0, 2)).array, x.array)
    with pytest.raises(ValueError, match=r"grid axis 1 needs a periodic boundary"):
        translate(x, (0, 1, 0))
    with pytest.raises(ValueError, match=r"one shift per grid axis"):
        translate(x, (1,))


def test_concatenating_keeps_every_channel_in_order(getkey: Keys) -> None:
    x, y = example(2, getkey()), example(2, getkey())
    both = concatenate(x, y)
    np.testing.assert_array_equal(both[vector], jnp.concatenate([x[vector], y[vector]], axis=3))
    with pytest.raises(ValueError, match="one grid, batch and boundary"):
        concatenate(x, act(QUARTER_TURN, y))


def test_splitting_undoes_concatenating(getkey: Keys) -> None:
    x, y = (
        example(2, getkey()),
        random_image(FieldType.parse("3x vector"), BOUNDARY[:2], GRID[:2], batch=(2,), key=getkey()),
    )
    first, second = split(concatenate(x, y), x.field_type, y.field_type)
    np.testing.assert_array_equal(first.array, x.array)
    np.testing.assert_array_equal(second.array, y.array)
    with pytest.raises(ValueError, match="types that add up to it"):
        split(x, y.field_type)


def beyond(kind: Boundary, place: int, side: int) -> tuple[int | None, bool]:
    """Which pixel an image shows at `place`, and whether as its mirror image: pixel by pixel from boundary.py."""
    if 0 <= place < side:
        return place, False
    distance = -1 - place if place < 0 else place - side
    edge, inwards = (0, 1) if place < 0 else (side - 1, -1)
    match kind:
        case "periodic":
            return place % side, False
        case "zero":
            return None, False
        case "replicate":
            return edge, False
        case "reflect":
            return edge + inwards * (distance + 1), False
        case "mirror":
            return edge + inwards * distance, True


@pytest.mark.parametrize("kind", BOUNDARIES)
@pytest.mark.parametrize("axis", [0, 1])
def test_an_image_continues_as_its_boundary_says(kind: Boundary, axis: int, getkey: Keys) -> None:
    others: tuple[Boundary, ...] = ("zero", "zero")
    boundary = tuple(kind if a == axis else other for a, other in enumerate(others))
    x = random_image(FIELDS, boundary, (4, 5), batch=(2,), key=getkey())
    low, high = ((3, 2) if a == axis else (0, -1) for a in (0, 1))
    padded = pad(x, (low[0], high[0]), (low[1], high[1]))
    side = x.grid[axis]
    source = jnp.moveaxis(x.array, 1 + axis, 0)[:, :, :-1]
    mirrored = jnp.moveaxis(turn(x.array, FIELDS, SignedPermutation.flip(2, axis)), 1 + axis, 0)[:, :, :-1]
    for position, slab in enumerate(jnp.moveaxis(padded, 1 + axis, 0)):
        pixel, turned = beyond(kind, position - 3, side)
        expected = jnp.zeros_like(slab) if pixel is None else (mirrored if turned else source)[pixel]
        np.testing.assert_array_equal(slab, expected)


def test_a_wall_turns_the_normal_component_and_the_pseudoscalar() -> None:
    arrow, spin = jnp.ones((2, 2, 1, 2)), jnp.ones((2, 2, 1))
    x = MultiImage.from_fields({vector: arrow, pseudoscalar: spin}, ("mirror", "periodic"))
    ghost = MultiImage(pad(x, (1, 0), (0, 0)), x.field_type, x.boundary)
    np.testing.assert_array_equal(ghost[vector][0, 0, 0], [-1, 1])
    assert float(ghost[pseudoscalar][0, 0, 0]) == -1


@every_group
@pytest.mark.parametrize("kind", BOUNDARIES)
def test_padding_commutes_with_the_group(group: Group, kind: Boundary, getkey: Keys) -> None:
    d = group.dimension
    x = random_image(FIELDS, (kind, "periodic", "zero")[:d], (3, 4, 2)[:d], key=getkey())
    widths = (2, 1, 0)[:d]
    padded = MultiImage(pad(x, widths, widths), FIELDS, x.boundary)
    for g in group:
        moved = g.permute(widths)
        np.testing.assert_array_equal(pad(numpy_act(g, x), moved, moved), numpy_act(g, padded).array)


def test_a_reflection_needs_pixels_to_reflect(getkey: Keys) -> None:
    x = random_image(FIELDS, ("reflect", "mirror"), (2, 2), key=getkey())
    assert pad(x, (1, 2), (1, 2)).shape[:2] == (4, 6)
    with pytest.raises(ValueError, match="'reflect' continues for at most 1 pixels, but 2 are needed"):
        pad(x, (2, 0), (0, 0))
    with pytest.raises(ValueError, match="'mirror' continues for at most 2 pixels"):
        pad(x, (0, 0), (0, 3))
    regular = random_image(FieldType.parse("regular(C4)"), ("mirror", "zero"), (2, 2), key=getkey())
    with pytest.raises(
        ValueError, match=r"'mirror' of grid axis 0 reflects every field.*not an element of the group C4"
    ):
        pad(regular, (1, 0), (0, 0))


def test_the_wrong_dimension_is_refused(getkey: Keys) -> None:
    with pytest.raises(ValueError, match="acts on 2 axes, but the image has 3"):
        act(QUARTER_TURN, example(3, getkey()))
