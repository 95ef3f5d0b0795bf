"""What a coarser grid sees: the mean over its cells, of which a group element makes those of what it makes."""

import jax.numpy as jnp
import numpy as np
import pytest

from equifield import FieldType, MultiImage, groups
from equifield.multi_image import Boundary
from equifield.ops import act
from equifield.train.data import ArraySeries, Coarsened, Excerpt, Pairs, Series

RNG = np.random.default_rng(0)
VECTOR = FieldType.parse("vector")
EDGES: tuple[Boundary, ...] = ("zero", "zero")


def flows(grid: tuple[int, int], boundary: tuple[Boundary, ...] = EDGES) -> ArraySeries:
    states = RNG.normal(size=(2, 3, *grid, 2)).astype(np.float32)
    ground = MultiImage(jnp.asarray(RNG.normal(size=(*grid, 1)), jnp.float32), FieldType.parse("scalar"), boundary)
    return ArraySeries(states, VECTOR, boundary, ground)


def test_a_cell_has_the_mean_of_its_pixels() -> None:
    fine = flows((6, 9))
    coarse = Coarsened(fine, 3)
    assert isinstance(coarse, Series)
    assert (coarse.grid, coarse.trajectories, coarse.steps, coarse.field_type) == ((2, 3), 2, 3, VECTOR)
    states = coarse.read(1, slice(1, 3))
    np.testing.assert_allclose(states[1, 1, 2], fine.array[1, 2, 3:6, 6:9].mean(axis=(0, 1)), rtol=1e-5)
    ground, before = coarse.constants(0), fine.constants(0)
    assert ground is not None and before is not None
    np.testing.assert_allclose(ground.array[0, 1], before.array[:3, 3:6].mean(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize("element", groups.hyperoctahedral(2).elements, ids=str)
def test_coarsening_commutes_with_the_group_and_leaving_out_pixels_does_not(element: groups.SignedPermutation) -> None:
    fine = flows((6, 9))
    turned = np.asarray(act(element, MultiImage(jnp.asarray(fine.array), VECTOR, EDGES)).array)

    def both(coarse: np.ndarray, coarse_turned: np.ndarray) -> bool:
        expected = act(element, MultiImage(jnp.asarray(coarse), VECTOR, EDGES)).array
        return np.allclose(coarse_turned, expected, atol=1e-6)

    assert both(*(Coarsened(series, 3).read(0, slice(None)) for series in (fine, ArraySeries(turned, VECTOR, EDGES))))
    assert both(fine.array[0, :, ::3, ::3], turned[0, :, ::3, ::3]) == (-1 not in element.signs)


def test_pairs_on_two_grids_leave_out_what_fills_no_cell() -> None:
    fine = flows((7, 4), ("zero", "periodic"))
    with pytest.raises(ValueError, match=r"whole cells .* of a grid of \(7, 4\)"):
        Coarsened(fine, 2)
    whole = Excerpt(fine, pixels=(6, 4))
    coarse, target = Pairs(Coarsened(whole, 2), whole)[np.array([4])]
    assert (coarse.grid, target.grid) == ((3, 2), (6, 4))
    np.testing.assert_array_equal(target.array[0], fine.array[1, 1, :6])
    ground = whole.constants(0)
    assert ground is not None and ground.grid == (6, 4)


@pytest.mark.parametrize("pixels", [(0, 4), (8, 4), (7, 3)], ids=["none", "beyond", "periodic"])
def test_a_part_of_the_grid_that_is_none_is_refused(pixels: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="all of a periodic one"):
        Excerpt(flows((7, 4), ("zero", "periodic")), pixels=pixels)
