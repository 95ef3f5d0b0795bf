"""The main job, over real HTTP with a shipped model: the engine's answer, on finer cells of the user's grid."""

from collections.abc import Callable, Iterator
from pathlib import Path

import equinox as eqx
import httpx
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from equifield import MultiImage
from equifield.package import FieldModel, load_package

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "wind_temperature.nc"
MODEL = "/v1/models/wind-downscale-2d"
FIELDS = ("u", "v")


@pytest.fixture(scope="module")
def http(service_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service_url, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def model() -> FieldModel:
    return load_package(REPOSITORY / "models_store" / "wind-downscale-2d" / "1").model


@pytest.fixture(scope="module")
def wind() -> xr.Dataset:
    """Real wind on a small, equally spaced grid with ascending axes."""
    data = xr.load_dataset(EXAMPLE, decode_times=False).isel(time=0, lev=slice(0, 2))
    data = data.isel(lat=slice(20, 36), lon=slice(0, 24)).rename(U="u", V="v").drop_vars("T")
    latitude = ("lat", np.linspace(-30, 30, 16), {"units": "degrees_north", "standard_name": "latitude"})
    longitude = ("lon", np.linspace(0, 92, 24), {"units": "degrees_east", "standard_name": "longitude"})
    return data.assign_coords(lat=latitude, lon=longitude).drop_encoding()


def encoded(data: xr.Dataset, encoding: dict[str, dict[str, object]] | None = None) -> bytes:
    return bytes(data.to_netcdf(format="NETCDF4", engine="netcdf4", encoding=encoding or {}))


def predict(http: httpx.Client, body: bytes, **query: str) -> xr.Dataset:
    answer = http.post(f"{MODEL}/predict", content=body, params=query)
    assert answer.status_code == 200, answer.text
    return xr.load_dataset(answer.content, decode_times=False)


def direct(model: FieldModel, data: xr.Dataset) -> np.ndarray:
    """The engine's own answer, packed here by hand: `(level, lon, lat, feature)` with both axes ascending."""
    data = data.sortby(["lat", "lon"]).transpose("lev", "lon", "lat")
    packed = jnp.stack([jnp.asarray(data[name].values, jnp.float32) for name in FIELDS], axis=-1)
    return np.asarray(eqx.filter_jit(model)(MultiImage(packed, model.in_type, ("periodic", "replicate"))).array)


def finer(points: xr.DataArray) -> np.ndarray:
    """The centres of the two halves of each cell, on the lines from its centre to its neighbours'."""
    steps = np.diff(points.values)
    before, after = np.append(steps[0], steps), np.append(steps, steps[-1])
    return np.stack([points - before / 4, points + after / 4], axis=-1).ravel()


def assert_lies_where(answer: xr.Dataset, sent: xr.Dataset) -> None:
    """Checks the coordinates of an answer: halves of cells on the grid, elsewhere those of the file."""
    for name in sent.coords:
        assert answer[name].attrs == sent[name].attrs
        expected = finer(sent[name]) if name in ("lat", "lon") else sent[name]
        np.testing.assert_allclose(answer[name], expected, rtol=1e-6, atol=1e-5)


def assert_is(answer: xr.Dataset, expected: np.ndarray) -> None:
    ordered = answer.sortby(["lat", "lon"]).transpose("lev", "lon", "lat")
    for index, name in enumerate(FIELDS):
        np.testing.assert_allclose(ordered[name].values, expected[..., index], rtol=2e-5, atol=2e-3)


def test_the_answer_is_what_the_engine_computes(http: httpx.Client, model: FieldModel, wind: xr.Dataset) -> None:
    assert_is(predict(http, encoded(wind)), direct(model, wind))


FORMS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "descending latitude": lambda data: data.isel(lat=slice(None, None, -1)),
    "descending longitude": lambda data: data.isel(lon=slice(None, None, -1)),
    "longitude before latitude": lambda data: data.transpose("lon", "lev", "lat"),
    "components ordered differently": lambda data: data.assign(v=data.v.transpose("lat", "lon", "lev")),
    "float64": lambda data: data.astype(np.float64),
    "big-endian": lambda data: data.astype(">f4"),
}


@pytest.mark.parametrize("form", FORMS)
def test_how_a_field_is_written_does_not_matter(
    http: httpx.Client, model: FieldModel, wind: xr.Dataset, form: str
) -> None:
    written = FORMS[form](wind)
    answer = predict(http, encoded(written))
    assert_is(answer, direct(model, wind))
    assert answer.u.dims == written.u.dims
    assert_lies_where(answer, written)


def test_a_stress_that_is_promised_symmetric_is_so_to_the_last_bit(http: httpx.Client) -> None:
    flow = xr.load_dataset(REPOSITORY / "examples" / "turbulence.nc", decode_times=False).isel(time=slice(0, 3))
    answer = http.post("/v1/models/subgrid-stress-2d/predict", content=encoded(flow.drop_encoding()))
    assert answer.status_code == 200, answer.text
    stress = xr.load_dataset(answer.content, decode_times=False)
    np.testing.assert_array_equal(stress.tau_xy, stress.tau_yx)
    assert (stress.tau_xy != 0).all() and (stress.tau_xx != stress.tau_yy).any(), "control: others differ"
    assert {stress[name].attrs["tensor_symmetry"] for name in ("tau_xx", "tau_xy", "tau_yx", "tau_yy")} == {"symmetric"}


def test_packed_integers_are_unpacked(http: httpx.Client, model: FieldModel, wind: xr.Dataset) -> None:
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 100.0, "_FillValue": -32768}
    body = encoded(wind, {name: packing for name in FIELDS})
    assert_is(predict(http, body), direct(model, xr.load_dataset(body, decode_times=False)))


def test_the_answer_turns_with_the_file(http: httpx.Client, wind: xr.Dataset) -> None:
    """A quarter turn done to the file by hand: x -> y, y -> -x, on a grid that is not square."""
    turned = xr.Dataset(
        {
            "u": (("lev", "lon", "lat"), -wind.v.values[:, ::-1, :]),
            "v": (("lev", "lon", "lat"), wind.u.values[:, ::-1, :]),
        },
        {
            "lev": wind.lev,
            "lon": ("lon", np.arange(16.0), {"units": "degrees_east"}),
            "lat": ("lat", np.arange(24.0), {"units": "degrees_north"}),
        },
    )
    straight = predict(http, encoded(wind), boundary="x:periodic,y:replicate")
    answer = predict(http, encoded(turned), boundary="x:replicate,y:periodic")
    assert answer.u.dims == ("lev", "lon", "lat")
    for name, expected in (("u", -straight.v), ("v", straight.u)):
        np.testing.assert_allclose(answer[name].values, expected.values[:, ::-1, :], rtol=2e-5, atol=2e-3)
    wrong = float(abs(answer.u.values - straight.u.values[:, ::-1, :]).max())
    assert wrong > 1, "the control: without turning the arrows the answers must differ"


def test_the_whole_example_is_answered_with_everything_around_the_fields(http: httpx.Client) -> None:
    answer = predict(http, EXAMPLE.read_bytes(), map="u:U,v:V")
    with xr.open_dataset(EXAMPLE, decode_times=False) as sent:
        assert set(answer.data_vars) == set(FIELDS)
        assert answer.u.dims == sent.U.dims
        assert_lies_where(answer, sent)
        assert answer.attrs["title"] == sent.attrs["title"]
    assert answer.attrs["Conventions"] == "CF-1.11"
    assert "wind-downscale-2d" in answer.attrs["history"]
    assert float(answer.attrs["equivariance_error"]) < 1e-5
    assert (answer.u.attrs["standard_name"], answer.u.attrs["units"]) == ("eastward_wind", "m/s")
    assert (answer.u.attrs["tensor_field"], answer.u.attrs["tensor_axis"]) == ("wind", "lon")
    assert int(answer.u.attrs["tensor_order"]) == 1


REFUSED: dict[str, tuple[Callable[[xr.Dataset], bytes], int, str, str]] = {
    "NaN": (lambda data: encoded(data.where(data.lat < 20)), 422, "missing_values", "missing of 768 values"),
    "infinity": (lambda data: encoded(data.assign(u=data.u / 0.0)), 422, "infinite_values", "u"),
    "no northward wind": (lambda data: encoded(data.drop_vars("v")), 422, "variable_missing", "v"),
    "no longitude": (lambda data: encoded(data.isel(lon=0)), 422, "axis_missing", "x"),
    "too small": (lambda data: encoded(data.isel(lon=slice(0, 2))), 422, "grid_unsupported", "8"),
    "text": (lambda data: b"<html>502 Bad Gateway</html>", 415, "not_netcdf", "NetCDF"),
    "cut short": (lambda data: encoded(data)[:6000], 400, "malformed_file", ""),
    "empty": (lambda data: b"", 400, "empty_body", "body"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_right_is_refused_by_name_and_the_next_request_is_served(
    http: httpx.Client, model: FieldModel, wind: xr.Dataset, fault: str
) -> None:
    body, status, code, named = REFUSED[fault]
    answer = http.post(f"{MODEL}/predict", content=body(wind))
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert_is(predict(http, encoded(wind)), direct(model, wind))


def test_the_check_measures_every_element_on_the_posted_file(http: httpx.Client, wind: xr.Dataset) -> None:
    report = http.post(f"{MODEL}/equivariance", content=encoded(wind)).json()
    assert report["passed"] is True
    assert 0 < report["worst"]["error"] < report["tolerance"] == 1e-5
    elements = {row["element"] for row in report["rows"]}
    assert len([name for name in elements if name.startswith("(")]) == 8
    assert {row["field"] for row in report["rows"]} == {"wind"}


@pytest.mark.parametrize("posted", [True, False], ids=["on a file", "on random fields"])
def test_the_check_of_a_model_for_any_spacing_says_what_unequal_spacing_means(
    http: httpx.Client, wind: xr.Dataset, posted: bool
) -> None:
    uneven = wind.assign_coords(lat=wind.lat**3 / 900)
    report = http.post(f"{MODEL}/equivariance", content=encoded(uneven) if posted else b"").json()
    assert any("spacing differs between the axes or is not uniform" in caveat for caveat in report["caveats"])
