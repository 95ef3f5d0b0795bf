"""Every file of the collection of real data, through a real server: predicted right, or refused by name."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import equinox as eqx
import httpx
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from equifield import MultiImage
from equifield.multi_image import Boundary
from equifield.package import (
    Architecture,
    Component,
    FieldSpec,
    GridSpec,
    Manifest,
    Provenance,
    field_type_of,
    load_package,
    write_package,
)
from equifield.package._load import new_network
from equifield.symmetry import FieldFunction
from tests.running import start

pytestmark = pytest.mark.filterwarnings(
    "ignore:variable .* has non-conforming", "ignore:.*has multiple fill values", "ignore:.*invalid value.*cast"
)

EASTWARD = ("eastward_wind", "x_wind", "eastward_sea_water_velocity", "x_sea_water_velocity")
WALLS: tuple[Boundary, ...] = ("zero", "zero", "zero")
NORTHWARD = ("northward_wind", "y_wind", "northward_sea_water_velocity", "y_sea_water_velocity")


def vector(name: str, axes: str, parity: Literal[0, 1] = 0) -> FieldSpec:
    letters = dict(zip("xyz", "uvw", strict=True))
    names = {"x": EASTWARD, "y": NORTHWARD, "z": ()}
    components = tuple(Component(axes=(a,), variable=letters[a], standard_names=names[a]) for a in axes)
    return FieldSpec(name=name, order=1, parity=parity, components=components, scale=5.0)


def stress(axes: str) -> FieldSpec:
    components = tuple(Component(axes=(a, b), variable=f"sigma_{a}{b}") for a in axes for b in axes)
    return FieldSpec(name="stress", order=2, components=components, scale=1e8)


MODELS = {
    "flow": ("xy", vector("velocity", "xy"), "1x scalar + 2x vector"),
    "stress": ("xyz", stress("xyz"), "1x scalar + 1x tensor(2)"),
    "magnet": ("xyz", vector("magnetization", "xyz", parity=1), "1x pseudovector"),
}


def manifest(name: str) -> Manifest:
    axes, spec, hidden = MODELS[name]
    return Manifest(
        name=name,
        version="1",
        title=name,
        description="Random weights.",
        licence="Apache-2.0",
        architecture=Architecture(name="ResNet", config={"hidden": hidden, "num_blocks": 1}),
        group=f"B{len(axes)}",
        inputs=(spec,),
        outputs=(spec,),
        grid=GridSpec(axes=tuple(axes), boundary=WALLS[: len(axes)], spacing="any", minimum=4),
        provenance=Provenance(created="2026-01-01", engine_version="0", training="none", data="none"),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for name in MODELS:
        write_package(folder, manifest(name), new_network(manifest(name)), card="For tests.\n")
    return folder


@pytest.fixture(scope="module")
def models(store: Path) -> dict[str, FieldFunction]:
    return {name: eqx.filter_jit(load_package(store / name / "1").model) for name in MODELS}


@pytest.fixture(scope="module")
def http(store: Path) -> Iterator[httpx.Client]:
    running = start(store, payload_processes="2", max_batch="2")
    with running.process, httpx.Client(base_url=running.url, timeout=120) as client:
        yield client
        running.stop()


@dataclass(frozen=True)
class Predicted:
    """A file that is answered: the variables of the components and the dimensions of the axes, in order."""

    file: str
    variables: tuple[str, ...]
    axes: tuple[str, ...]
    model: str = "flow"
    query: dict[str, str] = field(default_factory=dict)
    stacked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A file that cannot be answered: the code, and a word that the sentence must have."""

    file: str
    code: str
    named: str
    model: str = "flow"
    query: dict[str, str] = field(default_factory=dict)


XYZ = ("x", "y", "z")
DEGREES = ("longitude", "latitude")
ERA = [
    Predicted(f"derived/era850_{form}.nc", ("u", "v"), DEGREES)
    for form in (
        *("netcdf3_classic", "netcdf3_64bit_offset", "netcdf4", "netcdf4_classic", "zlib_chunked"),
        *("packed_int16", "float64", "ascending", "gradient_tensor"),
    )
]
CASES: list[Predicted | Refused] = [
    *ERA,
    *(
        Refused(f"derived/era850_{form}.nc", "unsafe_file", "filter")
        for form in ("zstd", "bzip2", "blosc_zlib", "szip")
    ),
    Refused("derived/era850_netcdf3_64bit_data.nc", "not_netcdf", "CDF-5"),
    Refused("derived/era850_masked_nan.nc", "missing_values", "missing"),
    Predicted(
        "derived/damask_stress_3d.nc", ("sigma",), ("x", "y", "z"), "stress", {"map": "stress:sigma"}, ("i", "j")
    ),
    Refused("derived/damask_stress_3d.nc", "schema_mismatch", "displacement"),
    Predicted("derived/oommf_magnetization_32cubed.nc", ("magnetization",), XYZ, "magnet", {}, ("i",)),
    Refused("derived/piv_soapfilm.nc", "missing_values", "missing"),
    Predicted("eraint_uvz.nc", ("u", "v"), DEGREES),
    Predicted("ccm_uv300.nc", ("U", "V"), ("lon", "lat"), query={"map": "u:U,v:V"}),
    Predicted("ccm_uvt_groups_nc4.nc", ("U", "V"), ("lon", "lat"), query={"map": "u:U,v:V"}),
    Predicted("arome_wind10m_lambert.nc", ("x_wind_10m", "y_wind_10m"), ("x", "y")),
    Refused("arctic20_ocean.nc", "missing_values", "missing"),
    Refused("croco_cgrid_staggered.nc", "staggered_grid", "staggered"),
    Refused("ncep_uwnd_mean.nc", "variable_missing", "velocity"),
    Refused("ncep_vwnd_mean.nc", "variable_missing", "velocity"),
    Refused("pygnome_gridded_current.nc", "missing_values", "missing", query={"axes": "x:lon,y:lat"}),
    Predicted(
        *("gfs_wind_7x7.nc", ("air_u", "air_v"), ("lon", "lat")),
        query={"map": "u:air_u,v:air_v", "axes": "x:lon,y:lat"},
    ),
    Refused("gfs_wind_7x7.nc", "axis_missing", "axes", query={"map": "u:air_u,v:air_v"}),
    Refused("hadisst_sst.nc", "variable_missing", "velocity"),
    Refused("goes16_cloud_top_height.nc", "variable_missing", "velocity"),
    Refused("adcp_empty_time.nc", "empty_dimension", "time", query={"map": "u:u_1205,v:v_1206"}),
    Refused("basin_mask.nc", "variable_missing", "velocity"),
    Refused("bears_char_arrays.nc", "variable_missing", "velocity"),
    Refused("tiny.nc", "variable_missing", "velocity"),
    Refused("ubyte_unsigned.nc", "variable_missing", "velocity"),
    Refused("damask_12grains6x7x8_tensionY.hdf5", "variable_missing", "velocity"),
    Refused("discretisedfield.hdf5", "variable_missing", "velocity"),
    Predicted(
        *("pivpy_3c.nc", ("velocity_n", "velocity_z"), ("x", "y")),
        query={"map": "u:velocity_n,v:velocity_z", "axes": "x:x,y:y"},
    ),
]


def test_every_real_file_is_here(shared_data: Path) -> None:
    present = {path.relative_to(shared_data / "real").as_posix() for path in (shared_data / "real").rglob("*")}
    assert {name for name in present if name.endswith((".nc", ".hdf5"))} == {case.file for case in CASES}


def packed(sent: xr.Dataset, case: Predicted) -> tuple[np.ndarray, xr.DataArray]:
    """The model's input made by hand, `(batch, *grid, features)` with ascending axes; and a component as a pattern."""
    first = sent[case.variables[0]]
    components = [str(d) for d in first.dims if str(d).startswith("component")] if case.stacked else []
    batch = [d for d in first.dims if d not in (*case.axes, *components)]
    ascending = sent.sortby([axis for axis in case.axes if axis in sent])
    arrays = [ascending[name].transpose(*batch, *case.axes, *components).values for name in case.variables]
    grid = tuple(sent.sizes[axis] for axis in case.axes)
    joined = arrays[0] if case.stacked else np.stack(arrays, axis=-1)
    features = len(case.axes) ** max(1, len(case.stacked))
    return joined.reshape(-1, *grid, features).astype(np.float32), first


def boundaries(sent: xr.Dataset, case: Predicted) -> tuple[Boundary, ...]:
    """Walls, but for longitudes that go all around the globe."""
    first, others = case.axes[0], WALLS[1 : len(case.axes)]
    east = sent.get(first)
    if east is None or not str(east.attrs.get("units", "")).startswith("degrees_e"):
        return (WALLS[0], *others)
    step = abs(float(east[-1] - east[0])) / (east.size - 1)
    return ("periodic" if abs(step * east.size - 360) < 0.1 else WALLS[0], *others)


@pytest.mark.parametrize("case", [c for c in CASES if isinstance(c, Predicted)], ids=lambda c: f"{c.file} {c.model}")
def test_a_real_field_is_predicted_as_the_engine_does(
    http: httpx.Client, models: dict[str, FieldFunction], shared_data: Path, case: Predicted
) -> None:
    body = (shared_data / "real" / case.file).read_bytes()
    answer = http.post(f"/v1/models/{case.model}/predict", content=body, params=case.query)
    assert answer.status_code == 200, answer.text
    back = xr.load_dataset(answer.content, decode_times=False)
    with xr.open_dataset(body, decode_times=False) as sent:
        array, pattern = packed(sent.load(), case)
        for name in pattern.coords:
            np.testing.assert_array_equal(back[name].values, sent[name].values)
        walls = boundaries(sent, case)
    image = MultiImage(jnp.asarray(array), field_type_of([MODELS[case.model][1]]), walls)
    expected = np.asarray(models[case.model](image).array)
    names = ["u", "v"] if not case.stacked else [MODELS[case.model][1].name]
    given, _ = packed(back, Predicted(case.file, tuple(names), case.axes, case.model, stacked=case.stacked))
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5 * float(abs(expected).max()))
    assert back[names[0]].dims == pattern.dims


@pytest.mark.parametrize("case", [c for c in CASES if isinstance(c, Refused)], ids=lambda c: f"{c.file} {c.code}")
def test_a_real_file_that_does_not_fit_is_refused_by_name(http: httpx.Client, shared_data: Path, case: Refused) -> None:
    body = (shared_data / "real" / case.file).read_bytes()
    answer = http.post(f"/v1/models/{case.model}/predict", content=body, params=case.query)
    problem = answer.json()
    assert problem["code"] == case.code, problem
    assert 400 <= answer.status_code < 500
    assert case.named in problem["detail"]
