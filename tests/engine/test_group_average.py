"""The average over a group, which makes any function commute with it."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.multi_image import random_image
from equifield.nn import Conv, GroupAverage, Upsample
from equifield.ops import act, translate
from tests.engine.examples.pooling import PlainConv
from tests.engine.laws import assert_commutes, worst_error

Keys = Callable[[], PRNGKeyArray]
FIELDS = FieldType.parse("scalar + vector")
B2 = group_named("B2")
SETTINGS: list[tuple[tuple[int, ...], tuple[Boundary, ...]]] = [
    ((3, 5), ("mirror", "mirror")),
    ((4, 4), ("mirror", "periodic")),
]


@pytest.mark.parametrize(("grid", "boundary"), SETTINGS, ids=["oblong", "unlike-boundaries"])
def test_the_average_of_an_unconstrained_convolution_commutes(
    grid: tuple[int, ...], boundary: tuple[Boundary, ...], getkey: Keys
) -> None:
    plain = eqx.filter_jit(PlainConv(2, FIELDS, key=getkey()))
    with jax.enable_x64(True):
        x = random_image(FIELDS, boundary, grid, batch=(2,), dtype=jnp.float64, key=getkey())
        average = eqx.filter_jit(GroupAverage(plain, B2))
        assert worst_error(plain, x, B2) > 0.1
        assert_commutes(average, x, B2, 1e-12)
        terms = eqx.filter_jit(lambda x: [act(g.inverse(), plain(act(g, x))).array for g in B2])(x)
        np.testing.assert_allclose(average(x).array, np.mean(terms, axis=0), atol=1e-14)


def test_the_average_of_a_discontinuous_function_commutes(getkey: Keys) -> None:
    """A position, a component and a direction are preferred, and values jump."""

    def rude(x: MultiImage) -> MultiImage:
        cut = jnp.where(x.array[..., :1] > 0.1, jnp.round(3 * x.array), jnp.cumsum(x.array, axis=-3))
        return x.with_array(cut.at[..., 0, 1, :].mul(5.0).at[..., 1].add(1.0))

    x = random_image(FIELDS, ("periodic", "periodic"), (4, 4), key=getkey())
    assert worst_error(eqx.filter_jit(rude), x, B2) > 0.1
    assert_commutes(eqx.filter_jit(GroupAverage(rude, B2)), x, B2, 1e-5)


def test_the_average_of_a_function_that_refines_the_grid_commutes(getkey: Keys) -> None:
    def leaning(x: MultiImage) -> MultiImage:
        return translate(Upsample(2)(x), (1, 0))

    x = random_image(FIELDS, ("periodic", "periodic"), (3, 4), key=getkey())
    assert worst_error(eqx.filter_jit(leaning), x, B2) > 0.1
    assert_commutes(eqx.filter_jit(GroupAverage(leaning, B2)), x, B2, 1e-6)


def test_the_average_commutes_with_its_own_group_alone(getkey: Keys) -> None:
    average = eqx.filter_jit(GroupAverage(PlainConv(2, FIELDS, key=getkey()), group_named("C2")))
    x = random_image(FIELDS, ("periodic", "periodic"), (4, 4), key=getkey())
    assert_commutes(average, x, group_named("C2"), 1e-6)
    assert worst_error(average, x, B2) > 0.1
    moved = average(translate(x, (1, -1))).array
    np.testing.assert_allclose(moved, translate(average(x), (1, -1)).array, atol=1e-6)


def test_what_commutes_already_is_left_alone_and_may_change_type_and_grid(getkey: Keys) -> None:
    target = FieldType.parse("pseudoscalar + 2x vector")
    conv = Conv(B2, FIELDS, target, kernel_size=2, stride=2, key=getkey())
    x = random_image(FIELDS, ("periodic", "zero"), (4, 6), key=getkey())
    average = eqx.filter_jit(GroupAverage(conv, B2))(x)
    assert (average.field_type, average.grid) == (target, (2, 3))
    np.testing.assert_allclose(average.array, eqx.filter_jit(conv)(x).array, atol=1e-6)


def test_fewer_elements_at_once_give_the_same(getkey: Keys) -> None:
    plain = PlainConv(2, FIELDS, key=getkey())
    x = random_image(FIELDS, ("periodic", "periodic"), (4, 4), key=getkey())
    several, all_at_once = (eqx.filter_jit(GroupAverage(plain, B2, batch_size=size)) for size in (3, None))
    np.testing.assert_allclose(several(x).array, all_at_once(x).array, atol=1e-6)
    with pytest.raises(ValueError, match="at least one element"):
        GroupAverage(plain, B2, batch_size=0)


def test_the_weights_of_the_model_are_learned_through_the_average(getkey: Keys) -> None:
    layer = GroupAverage(PlainConv(2, FIELDS, key=getkey()), B2)
    x = random_image(FIELDS, ("periodic", "periodic"), (4, 4), key=getkey())
    gradient = eqx.filter_jit(eqx.filter_grad(lambda layer: jnp.sum(layer(x).array ** 2)))(layer)
    assert float(abs(gradient.model.kernel).max()) > 0


def test_images_that_cannot_be_averaged_are_refused(getkey: Keys) -> None:
    line = random_image(FIELDS, ("periodic",), (4,), key=getkey())
    with pytest.raises(ValueError, match="acts on 2 axes; the image has 1"):
        GroupAverage(lambda x: x, B2)(line)
    square = random_image(FIELDS, ("periodic", "periodic"), (4, 4), key=getkey())
    with pytest.raises(ValueError, match="needs a grid that every element"):
        GroupAverage(lambda x: x.with_array(x.array[..., ::2, :]), B2)(square)
