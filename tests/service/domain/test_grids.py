"""What a request may ask of a grid."""

import pytest

from equifield.package.manifest import GridSpec
from equifield_service.domain.errors import GridUnsupported, InvalidQuery
from equifield_service.domain.grids import boundary_of, check_grid

SPEC = GridSpec(axes=("x", "y"), boundary=("periodic", "zero"), multiple=4, minimum=6)


def test_the_boundary_is_the_manifests_where_the_request_is_silent() -> None:
    assert boundary_of(SPEC, {}) == ("periodic", "zero")
    assert boundary_of(SPEC, {"y": "periodic"}) == ("periodic", "periodic")
    assert boundary_of(SPEC, {"x": "mirror", "y": "reflect"}) == ("mirror", "reflect")


def test_a_grid_that_closes_is_periodic_unless_the_request_says_otherwise() -> None:
    assert boundary_of(SPEC, {}, ("y",)) == ("periodic", "periodic")
    assert boundary_of(SPEC, {"y": "mirror"}, ("y",)) == ("periodic", "mirror")


@pytest.mark.parametrize("asked", [{"z": "zero"}, {"x": "cyclic"}], ids=["axis", "kind"])
def test_a_boundary_that_does_not_exist_is_refused_with_those_that_do(asked: dict[str, str]) -> None:
    with pytest.raises(InvalidQuery, match="the axes are x, y and a boundary is one of periodic, zero, reflect"):
        boundary_of(SPEC, asked)


@pytest.mark.parametrize("grid", [(8, 8), (12, 8)], ids=str)
def test_a_grid_that_the_model_takes_passes(grid: tuple[int, int]) -> None:
    check_grid(SPEC, grid)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ((8, 13), "Axis y has 13 points.*nearest that works: 12 or 16"),
        ((4, 8), "Axis x has 4 points.*nearest that works: 8"),
        ((8,), "2 axes .x, y., but grid .8,. has 1"),
    ],
    ids=["multiple", "minimum", "axes"],
)
def test_a_grid_that_the_model_cannot_take_is_refused_with_the_nearest_that_works(
    grid: tuple[int, ...], message: str
) -> None:
    with pytest.raises(GridUnsupported, match=message):
        check_grid(SPEC, grid)


def test_the_default_grid_is_the_first_warm_one_or_the_smallest_that_says_something() -> None:
    assert SPEC.model_copy(update={"warm": ((16, 32), (8, 8))}).default == (16, 32)
    assert SPEC.default == (8, 8)
    check_grid(SPEC, SPEC.default)
