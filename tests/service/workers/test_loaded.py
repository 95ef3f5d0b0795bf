"""A model in a worker, with real weights and real compilation."""

from pathlib import Path

import numpy as np
import pytest

from equifield.boundary import Boundary
from equifield_service.domain.errors import GridUnsupported
from equifield_service.scheduling import Array
from equifield_service.workers.loaded import Case, LoadedModel, buckets
from equifield_service.workers.shelf import Shelf

PERIODIC: tuple[Boundary, ...] = ("periodic", "periodic")


@pytest.fixture(scope="module")
def model(published: Path) -> LoadedModel:
    return LoadedModel(published / "tiny" / "1", max_batch=4, max_grids=2)


def samples(count: int, grid: tuple[int, int] = (8, 8)) -> Array:
    return np.random.default_rng(count).standard_normal((count, *grid, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("max_batch", "sizes"),
    [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (6, [1, 2, 4, 6])],
    ids=["1", "2", "8", "6"],
)
def test_buckets_are_powers_of_two_and_the_largest_batch(max_batch: int, sizes: list[int]) -> None:
    assert buckets(max_batch) == sizes


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_sample_has_the_same_answer_in_every_batch(model: LoadedModel, count: int) -> None:
    array = samples(count)
    together = model.predict(array, PERIODIC)
    alone = np.concatenate([model.predict(array[i : i + 1], PERIODIC) for i in range(count)])
    assert together.shape == array.shape and together.dtype == np.float32
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_programs_are_kept_for_the_last_grids_only(published: Path) -> None:
    model = LoadedModel(published / "tiny" / "1", max_batch=1, max_grids=2)
    for grid in ((8, 8), (8, 10), (10, 8)):
        model.predict(samples(1, grid), PERIODIC)
    assert model.programs == 2


def test_every_grid_that_the_manifest_lists_is_warm(model: LoadedModel) -> None:
    model.warm()
    before = model.programs
    model.predict(samples(3), PERIODIC)
    assert model.programs == before


def test_what_is_served_passes_its_self_check(model: LoadedModel) -> None:
    report = model.self_check()
    assert report["passed"] and report["group"] == "C4" and report["grid"] == [8, 8]
    assert {row["field"] for row in report["rows"]} == {"velocity", "tracer"}


def test_the_check_measures_what_is_served_so_it_can_fail(published: Path) -> None:
    class Crooked(LoadedModel):
        """Adds a constant to one component: picks out a direction."""

        def predict(self, array: Array, boundary: tuple[Boundary, ...]) -> Array:
            return super().predict(array, boundary) + np.array([0, 0.1, 0], np.float32)

    model = Crooked(published / "tiny" / "1", max_batch=1, max_grids=2)
    report, residual = model.check(samples(1), grid=(8, 8), boundary=PERIODIC, seed=0)
    assert not report["passed"] and report["worst"]["field"] == "velocity"
    assert np.abs(residual[..., 1:]).max() > 1e-2 > np.abs(residual[..., 0]).max()


def test_a_grid_too_small_for_its_boundary_is_the_askers_mistake(model: LoadedModel) -> None:
    with pytest.raises(GridUnsupported, match="1 pixels with the boundary 'reflect' continues for at most 0"):
        model.predict(samples(1, (8, 1)), ("periodic", "reflect"))


def test_the_check_runs_on_given_samples_on_a_grid_that_is_not_square(model: LoadedModel) -> None:
    report, residual = model.check(samples(2, (8, 12)), grid=(8, 12), boundary=("periodic", "zero"), seed=0)
    assert report["passed"] and report["grid"] == [8, 12]
    assert residual.shape == (2, 8, 12, 3) and np.abs(residual).max() < 1e-4


def test_one_seed_gives_one_report_and_another_seed_another(model: LoadedModel) -> None:
    first, again, other = (
        model.check(None, grid=(8, 8), boundary=PERIODIC, seed=seed)[0]["rows"] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_nothing_is_compiled_where_predictions_are_begun(published: Path) -> None:
    model = LoadedModel(published / "tiny" / "1", max_batch=4, max_grids=2)
    case = Case((8, 8), PERIODIC)
    assert model.start(samples(1), case) is None
    model.prepare(case, 1)
    begun = model.start(samples(1), case)
    assert begun is not None
    np.testing.assert_allclose(begun(), model.predict(samples(1), PERIODIC), rtol=1e-6)
    assert model.start(samples(4), case) is None


def test_a_symmetrized_prediction_is_the_prediction_of_a_network_that_keeps_its_law(published: Path) -> None:
    model = LoadedModel(published / "tiny" / "1", max_batch=1, max_grids=2)
    case = Case((8, 8), PERIODIC, symmetrize=True)
    model.prepare(case, 1)
    begun = model.start(samples(1), case)
    assert begun is not None
    np.testing.assert_allclose(begun(), model.predict(samples(1), PERIODIC), rtol=1e-4, atol=1e-5)


def test_the_shelf_keeps_what_fits_and_forgets_what_was_used_least_recently(published: Path) -> None:
    model, other = (LoadedModel(published / "tiny" / "1", max_batch=1, max_grids=1) for _ in range(2))
    other.manifest = other.manifest.model_copy(update={"name": "other"})
    for limit, kept in ((None, True), (2 * model.device_bytes, True), (1, False)):
        shelf = Shelf(limit)
        shelf.put(model)
        shelf.put(other)
        assert (shelf.find("tiny", "1") is model) is kept
        assert shelf.find("other", "1") is other
    shelf.drop("other", "1")
    assert shelf.find("other", "1") is None
    assert shelf.describe() == {"programs": 0, "device_bytes": 0}
