"""Refinement of the grid: nearest, linear and cubic."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jaxtyping import PRNGKeyArray

from equifield import FieldType, MultiImage
from equifield.boundary import BOUNDARIES, Boundary
from equifield.groups import group_named, hyperoctahedral
from equifield.multi_image import random_image
from equifield.nn import AvgPool, Upsample
from equifield.nn._upsample import Method
from equifield.ops import translate
from equifield.representations import scalar, vector
from tests.engine.laws import assert_commutes, worst_error

Keys = Callable[[], PRNGKeyArray]
FIELDS = FieldType.parse("2x scalar + vector")
PAIRS = list(zip(BOUNDARIES, BOUNDARIES[1:] + BOUNDARIES[:1], strict=True))
every_interpolation = pytest.mark.parametrize("method", ["linear", "cubic"])
every_factor = pytest.mark.parametrize("factor", [1, 2, 3, 4], ids=str)


def line(values: list[float], kind: Boundary) -> MultiImage:
    """A true scalar on one axis."""
    return MultiImage.from_fields({scalar: jnp.array(values)[:, None]}, (kind,))


@pytest.mark.parametrize("boundary", PAIRS, ids="-".join)
@every_interpolation
def test_interpolation_commutes_whatever_lies_beyond_the_edges(
    method: Method, boundary: tuple[Boundary, ...], getkey: Keys
) -> None:
    with jax.enable_x64(True):
        x = random_image(FIELDS, boundary, (3, 4), dtype=jnp.float64, key=getkey())
        assert_commutes(eqx.filter_jit(Upsample(2, method=method)), x, group_named("B2"), 1e-12)


def test_interpolation_that_starts_at_the_first_centre_breaks_the_law(getkey: Keys) -> None:
    """The control: fine pixels at i / 2 instead of (i + 1/2) / 2 - 1/2 of the coarse grid."""

    def refined(x: MultiImage) -> MultiImage:
        between = (x.array + jnp.roll(x.array, -1, -2)) / 2
        return x.with_array(jnp.stack([x.array, between], axis=-2).reshape(*x.batch, -1, x.array.shape[-1]))

    x = random_image(FIELDS, ("periodic",), (4,), key=getkey())
    assert worst_error(eqx.filter_jit(refined), x, hyperoctahedral(1)) > 0.1


@every_factor
def test_linear_functions_are_reproduced_between_the_outermost_centres(factor: int) -> None:
    height, width = 3, 5
    fine = [(np.arange(side * factor) + 0.5) / factor - 0.5 for side in (height, width)]

    def slope(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return 0.3 + 2.0 * a[:, None] - 0.7 * b[None, :]

    coarse = jnp.asarray(slope(np.arange(height), np.arange(width)), jnp.float32)[..., None]
    image = MultiImage.from_fields({scalar: coarse}, ("zero", "replicate"))
    result = np.asarray(eqx.filter_jit(Upsample(factor, method="linear"))(image).array)[..., 0]
    edge = factor // 2
    inside = (slice(edge, height * factor - edge), slice(edge, width * factor - edge))
    np.testing.assert_allclose(result[inside], slope(*fine)[inside], atol=1e-5)


@every_factor
def test_quadratic_functions_are_reproduced_by_cubic_interpolation(factor: int) -> None:
    def curve(x: np.ndarray) -> np.ndarray:
        return np.asarray(0.3 - 2.0 * x + 0.7 * x**2)

    coarse, fine = np.arange(7.0), (np.arange(7 * factor) + 0.5) / factor - 0.5
    refined = eqx.filter_jit(Upsample(factor, method="cubic"))(line(curve(coarse).tolist(), "zero"))
    inside = slice(2 * factor, 5 * factor)
    np.testing.assert_allclose(np.asarray(refined.array)[inside, 0], curve(fine)[inside], rtol=1e-5)


def test_cubic_interpolation_weighs_as_keys_does() -> None:
    """His kernel with a = -1/2, a quarter of a step to either side of the pixels."""
    image = line([0.0, 0.0, 1.0, 0.0, 0.0, 0.0], "zero")
    result = np.asarray(eqx.filter_jit(Upsample(2, method="cubic"))(image).array)[:, 0]
    weights = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 128
    np.testing.assert_allclose(result, [0, *weights, 0, 0, 0], atol=1e-7)


@every_factor
@every_interpolation
@pytest.mark.parametrize("kind", ["periodic", "reflect", "replicate", "mirror"])
def test_a_constant_scalar_stays_exactly_constant_where_the_boundary_continues_it(
    kind: Boundary, method: Method, factor: int
) -> None:
    result = eqx.filter_jit(Upsample(factor, method=method))(line([0.7, 0.7, 0.7], kind)).array
    np.testing.assert_array_equal(result, np.full((3 * factor, 1), np.float32(0.7)))


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("periodic", 9.0, 1.0), ("zero", 0.0, 0.0), ("reflect", 5.0, 5.0), ("replicate", 1.0, 9.0), ("mirror", 1.0, 9.0)],
    ids=BOUNDARIES,
)
def test_the_outermost_pixels_lean_on_what_lies_beyond_the_edge(kind: Boundary, before: float, after: float) -> None:
    result = np.asarray(eqx.filter_jit(Upsample(2, method="linear"))(line([1.0, 5.0, 9.0], kind)).array)[:, 0]
    expected = [0.75 + before / 4, 2.0, 4.0, 6.0, 8.0, 6.75 + after / 4]
    np.testing.assert_array_equal(result, expected)


def test_a_vector_is_turned_in_the_mirror_of_a_wall() -> None:
    field = jnp.broadcast_to(jnp.array([1.0, 1.0]), (2, 2, 1, 2))
    image = MultiImage.from_fields({vector: field}, ("mirror", "mirror"))
    fine = np.asarray(eqx.filter_jit(Upsample(2, method="linear"))(image)[vector])
    # a quarter of the way to the mirror image, in which the normal component has the other sign
    np.testing.assert_array_equal(fine[0, 0, 0], [0.5, 0.5])
    np.testing.assert_array_equal(fine[0, 1, 0], [0.5, 1.0])


@pytest.mark.parametrize("method", ["nearest", "linear", "cubic"])
def test_refinement_commutes_with_every_translation(method: Method, getkey: Keys) -> None:
    upsample = eqx.filter_jit(Upsample((2, 3), method=method))
    x = random_image(FIELDS, ("periodic", "periodic"), (3, 4), key=getkey())
    moved = upsample(translate(x, (1, -1))).array
    np.testing.assert_allclose(moved, translate(upsample(x), (2, -3)).array, atol=1e-6)
    assert_commutes(upsample, x, group_named("flips2"), 1e-6)


def test_the_mean_undoes_repetition(getkey: Keys) -> None:
    x = random_image(FIELDS, ("periodic", "zero"), (3, 4), batch=(2,), key=getkey())
    fine = Upsample((2, 3))(x)
    assert fine.grid == (6, 12)
    np.testing.assert_array_equal(fine.array[:, 1::2, 2::3], x.array)
    np.testing.assert_allclose(AvgPool((2, 3))(fine).array, x.array, rtol=1e-6)


def test_an_unknown_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="needs 'nearest', 'linear' or 'cubic'"):
        Upsample(method="spline")  # type: ignore[arg-type]


def test_what_cannot_be_refined_is_refused(getkey: Keys) -> None:
    with pytest.raises(ValueError, match=r"Upsample\(factor=0.*needs at least 1"):
        Upsample(0)
    for method in ("nearest", "linear"):
        with pytest.raises(ValueError, match="not one positive number for each of 1 grid axes"):
            Upsample((2, 2), method=method)(line([1.0, 2.0], "periodic"))
    with pytest.raises(ValueError, match="'reflect' continues for at most 0 pixels"):
        Upsample(2, method="linear")(line([1.0], "reflect"))
