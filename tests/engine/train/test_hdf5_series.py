"""Files in the layouts of The Well and of PDEBench are read as the tensors they hold."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from jaxtyping import Float32

from equifield import FieldType, MultiImage
from equifield.multi_image import Boundary
from equifield.representations import Tensor, pseudoscalar, scalar, vector
from equifield.train.data import PDEBenchSeries, Series, WellSeries, Windows

TRAJECTORIES, STEPS, GRID = 2, 5, (4, 6)
RNG = np.random.default_rng(0)
STRESS = Tensor(2)


def noise(*shape: int) -> Float32[np.ndarray, "..."]:
    return RNG.normal(size=shape).astype(np.float32)


Values = dict[str, Float32[np.ndarray, "..."]]


def well(path: Path, kind: str = "PERIODIC", steps: int = STEPS) -> Values:
    """A file as docs/data_format.md and the_well/utils/dummy_data.py of The Well have it."""
    fields = {
        "density": (0, noise(TRAJECTORIES, steps, *GRID), True, True, (True, True)),
        "spin": (0, noise(TRAJECTORIES, steps, *GRID), True, True, (True, True)),
        "depth": (0, noise(*GRID), False, False, (True, True)),
        "slope": (0, noise(TRAJECTORIES, GRID[0]), True, False, (True, False)),
        "velocity": (1, noise(TRAJECTORIES, steps, *GRID, 2), True, True, (True, True)),
        "stress": (2, noise(TRAJECTORIES, steps, *GRID, 2, 2), True, True, (True, True)),
    }
    with h5py.File(path, "w") as file:
        file.attrs.update({"n_spatial_dims": 2, "n_trajectories": TRAJECTORIES, "grid_type": "cartesian"})
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = ["x", "y"]
        for name, size in (("time", steps), ("x", GRID[0]), ("y", GRID[1])):
            dimensions[name] = np.arange(size, dtype=np.float32)
        for axis in "xy":
            condition = file.create_group(f"boundary_conditions/{axis}_boundary")
            condition.attrs.update({"associated_dims": [axis], "bc_type": kind})
        for order in range(3):
            group = file.create_group(f"t{order}_fields")
            group.attrs["field_names"] = [name for name, field in fields.items() if field[0] == order]
        for name, (order, values, sample_varying, time_varying, dim_varying) in fields.items():
            dataset = file[f"t{order}_fields"].create_dataset(name, data=values)
            dataset.attrs.update(
                {"sample_varying": sample_varying, "time_varying": time_varying, "dim_varying": dim_varying}
            )
    return {name: field[1] for name, field in fields.items()}


def image(series: Series, states: Float32[np.ndarray, "..."]) -> MultiImage:
    import jax.numpy as jnp

    return MultiImage(jnp.asarray(states), series.field_type, series.boundary)


def test_a_file_of_the_well_holds_tensors_of_every_order(tmp_path: Path) -> None:
    values = well(tmp_path / "a.hdf5")
    series = WellSeries([tmp_path / "a.hdf5"], pseudo=["spin"])
    assert isinstance(series, Series)
    assert series.field_type == FieldType.parse("scalar + pseudoscalar + vector + tensor(2)")
    assert (series.trajectories, series.steps, series.grid) == (TRAJECTORIES, STEPS, GRID)
    assert series.boundary == ("periodic", "periodic")
    states = image(series, series.read(1, slice(1, 4)))
    for representation, name in ((scalar, "density"), (pseudoscalar, "spin"), (vector, "velocity"), (STRESS, "stress")):
        np.testing.assert_array_equal(states[representation][:, :, :, 0], values[name][1, 1:4])
    assert [c.variable for field in series.fields for c in field.components if field.order == 2] == [
        "stress_x_x",
        "stress_x_y",
        "stress_y_x",
        "stress_y_y",
    ]


def test_fields_of_the_well_that_do_not_vary_in_time_are_constants(tmp_path: Path) -> None:
    values = well(tmp_path / "a.hdf5")
    series = WellSeries([tmp_path / "a.hdf5"])
    assert all(field.constant for field in series.constant_fields)
    assert not any(field.constant for field in series.fields)
    constants = series.constants(1)
    assert constants is not None and constants.field_type == FieldType.parse("2x scalar")
    np.testing.assert_array_equal(constants.array[..., 0], values["depth"])
    np.testing.assert_array_equal(constants.array[..., 1], np.repeat(values["slope"][1][:, None], GRID[1], axis=1))


def test_files_of_the_well_follow_one_another(tmp_path: Path) -> None:
    first, second = (well(tmp_path / f"{name}.hdf5") for name in "ab")
    series = WellSeries([tmp_path / "a.hdf5", tmp_path / "b.hdf5"])
    assert series.trajectories == 2 * TRAJECTORIES
    for trajectory, values in ((0, first), (2, second)):
        found = series.read(trajectory, np.array([3]))[0, ..., 0]
        np.testing.assert_array_equal(found, values["density"][0, 3])


def test_other_boundaries_of_the_well_must_be_said(tmp_path: Path) -> None:
    well(tmp_path / "a.hdf5", kind="WALL")
    with pytest.raises(ValueError, match="WALL.*only PERIODIC says"):
        WellSeries([tmp_path / "a.hdf5"])
    assert WellSeries([tmp_path / "a.hdf5"], boundary=("mirror", "zero")).boundary == ("mirror", "zero")


def test_files_of_the_well_that_differ_are_refused(tmp_path: Path) -> None:
    for name, steps in (("a", 3), ("b", 4)):
        well(tmp_path / f"{name}.hdf5", steps=steps)
    with pytest.raises(ValueError, match="but these differ"):
        WellSeries([tmp_path / "a.hdf5", tmp_path / "b.hdf5"])


def compressible(path: Path) -> Values:
    """A file as pdebench/data_gen/data_gen_NLE/Data_Merge.py writes it."""
    values = {name: noise(TRAJECTORIES, STEPS, *GRID) for name in ("density", "pressure", "Vx", "Vy")}
    with h5py.File(path, "w") as file:
        for name, array in values.items():
            file.create_dataset(name, data=array, chunks=(1, 1, *GRID), fletcher32=True)
        file["x-coordinate"], file["y-coordinate"] = np.arange(4.0), np.arange(6.0)
        file["t-coordinate"] = np.arange(STEPS + 1.0)
    return values


def test_compressible_flow_of_pdebench_is_two_scalars_and_a_vector(tmp_path: Path) -> None:
    values = compressible(tmp_path / "a.hdf5")
    series = PDEBenchSeries([tmp_path / "a.hdf5"], boundary=("periodic", "periodic"))
    assert isinstance(series, Series) and series.field_type == FieldType.parse("2x scalar + vector")
    assert (series.trajectories, series.steps, series.grid) == (TRAJECTORIES, STEPS, GRID)
    states = series.read(1, slice(2, 5, 2))
    for column, name in enumerate(("density", "pressure", "Vx", "Vy")):
        np.testing.assert_array_equal(states[..., column], values[name][1, 2:5:2])
    assert series.constants(0) is None


def test_incompressible_flow_of_pdebench_has_a_constant_force(tmp_path: Path) -> None:
    values = {
        "velocity": noise(TRAJECTORIES, STEPS, *GRID, 2),
        "particles": noise(TRAJECTORIES, STEPS, *GRID, 1),
        "force": noise(TRAJECTORIES, *GRID, 2),
    }
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in values.items():
            file[name] = array
        file["t"] = np.tile(np.arange(STEPS), (TRAJECTORIES, 1))
    series = PDEBenchSeries([tmp_path / "a.h5"], boundary=("zero", "zero"))
    states = image(series, series.read(1, slice(None)))
    np.testing.assert_array_equal(states[scalar], values["particles"][1])
    np.testing.assert_array_equal(states[vector][..., 0, :], values["velocity"][1])
    assert [field.constant for field in (*series.fields, *series.constant_fields)] == [False, False, True]
    constants = series.constants(1)
    assert constants is not None and constants.field_type == FieldType.parse("vector")
    np.testing.assert_array_equal(constants.array, values["force"][1])


def test_only_the_states_of_a_window_are_read(tmp_path: Path) -> None:
    compressible(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5") as file:
        chunk = file["Vy"].id.get_chunk_info_by_coord((1, 4, 0, 0))
    with (tmp_path / "a.hdf5").open("r+b") as body:
        body.seek(chunk.byte_offset)
        body.write(b"\x55" * chunk.size)
    windows = Windows(PDEBenchSeries([tmp_path / "a.hdf5"], boundary=("periodic", "periodic")), past=2)
    assert len(windows[np.arange(len(windows) - 1)][0].array) == len(windows) - 1
    with pytest.raises(OSError):
        windows[np.array([len(windows) - 1])]


def test_missing_values_are_refused_when_they_are_read(tmp_path: Path) -> None:
    compressible(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "r+") as file:
        file["pressure"][0, 2, 1, 1] = np.nan
    series = PDEBenchSeries([tmp_path / "a.hdf5"], boundary=("periodic", "periodic"))
    with pytest.raises(ValueError, match="Trajectory 0 has missing or infinite values at time 2"):
        series.read(0, slice(1, 4))


@pytest.mark.parametrize("axes", [1, 3])
def test_layouts_that_are_not_known_are_refused(axes: int, tmp_path: Path) -> None:
    compressible(tmp_path / "a.hdf5")
    periodic: Boundary = "periodic"
    with pytest.raises(ValueError, match=f"on {axes} axes; this file has .*'Vx', 'Vy'"):
        PDEBenchSeries([tmp_path / "a.hdf5"], boundary=(periodic,) * axes)
