"""The service as its users meet it: a real process, real files, real weights."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import xarray as xr

from tests.service import files

PREDICT = "/v1/models/tiny/predict"
CHECK = "/v1/models/tiny/equivariance"


def predicted(http: httpx.Client, data: xr.Dataset) -> xr.Dataset:
    answer = http.post(PREDICT, content=files.netcdf3(data))
    assert answer.status_code == 200, answer.text
    return files.opened(answer.content)


@pytest.mark.parametrize("write", [files.netcdf3, files.netcdf4], ids=["netcdf3", "netcdf4"])
def test_a_file_is_answered_with_a_file_of_its_kind(http: httpx.Client, write: Callable[[xr.Dataset], bytes]) -> None:
    sent = write(files.dataset(1, batch=2))
    answer = http.post(PREDICT, content=sent, headers={"Content-Type": "application/netcdf"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/netcdf"
    assert answer.headers["equifield-model"] == "tiny/1"
    assert answer.content[:4] == sent[:4]
    data = files.opened(answer.content)
    assert {name: data[name].dims for name in data} == dict.fromkeys(("u", "v", "c"), ("time", "lat", "lon"))
    assert data.attrs["Conventions"] == "CF-1.11"
    assert "predicted by tiny/1" in data.attrs["history"]


def test_json_is_answered_with_json_and_says_the_same_as_the_file(http: httpx.Client) -> None:
    data = files.dataset(2)
    answer = http.post(PREDICT, json=data.to_dict())
    assert answer.headers["content-type"] == "application/json"
    found = xr.Dataset.from_dict(answer.json())
    np.testing.assert_allclose(found["u"].values, predicted(http, data)["u"].values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("accept", "start"),
    [
        ("application/netcdf; version=3", b"CDF"),
        ("application/netcdf;version=4", b"\x89HDF"),
        ("application/json", b"{"),
    ],
    ids=["netcdf3", "netcdf4", "json"],
)
def test_the_client_chooses_the_kind(http: httpx.Client, accept: str, start: bytes) -> None:
    answer = http.post(PREDICT, content=files.netcdf3(files.dataset(3)), headers={"Accept": accept})
    assert answer.content.startswith(start)


def test_concurrent_requests_each_get_the_answer_to_their_own_file(http: httpx.Client) -> None:
    data = [files.dataset(seed, batch=1 + seed % 6, grid=((8, 8), (8, 12))[seed % 2]) for seed in range(24)]
    alone = [predicted(http, one) for one in data]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda one: predicted(http, one), data))
    for one, other in zip(alone, together, strict=True):
        for name in ("u", "v", "c"):
            np.testing.assert_allclose(other[name], one[name], rtol=1e-4, atol=1e-5)


def test_renamed_variables_and_dimensions_are_found_by_map_and_axes(http: httpx.Client) -> None:
    data = files.dataset(4)
    renamed = data.rename(u="a", v="b", lat="north", lon="east")
    for name in ("north", "east"):
        renamed[name].attrs.clear()
    query = {"map": "u:a,v:b", "axes": "x:east,y:north"}
    answer = http.post(PREDICT, params=query, content=files.netcdf3(renamed))
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(files.opened(answer.content)["u"], predicted(http, data)["u"], rtol=1e-5)


def test_another_boundary_gives_another_answer_and_the_law_holds_for_it(http: httpx.Client) -> None:
    data, query = files.dataset(5), {"boundary": "x:zero,y:zero"}
    answer = http.post(PREDICT, params=query, content=files.netcdf3(data))
    assert np.abs(files.opened(answer.content)["u"] - predicted(http, data)["u"]).max() > 1e-3
    report = http.post(CHECK, params=query).json()
    assert report["passed"] and "not periodic" in " ".join(report["caveats"])


def test_the_check_on_random_fields_is_reproducible_by_seed(http: httpx.Client) -> None:
    first, again, other = (http.post(CHECK, params={"seed": seed}).json() for seed in (1, 1, 2))
    assert first == again != other
    assert first["passed"] and first["model"] == "tiny" and first["grid"] == [8, 8]
    assert {row["field"] for row in first["rows"]} == {"velocity", "tracer"}


def test_the_check_runs_on_the_users_own_file_and_says_how_much_of_it(http: httpx.Client) -> None:
    report = http.post(CHECK, content=files.netcdf3(files.dataset(6, batch=6, grid=(12, 8)))).json()
    assert report["passed"] and report["grid"] == [12, 8]
    assert report["caveats"] == ["measured on the first 4 of 6 samples"], "and none of spacing, which must be equal"


def test_the_residual_comes_back_as_a_file_like_the_one_that_was_sent(http: httpx.Client) -> None:
    body = files.netcdf3(files.dataset(3))
    answer = http.post("/v1/models/tiny/equivariance", content=body, headers={"Accept": "application/netcdf"})
    assert answer.status_code == 200, answer.text
    residual, predicted = files.opened(answer.content), http.post(PREDICT, content=body).content
    assert residual.attrs["title"].startswith("equivariance residual under ")
    for name, variable in files.opened(predicted).data_vars.items():
        assert residual[name].dims == variable.dims
        assert abs(residual[name]).max() <= 1e-5 * abs(variable).max()


def test_without_a_file_there_is_no_residual(http: httpx.Client) -> None:
    answer = http.post(CHECK, headers={"Accept": "application/netcdf"})
    assert (answer.status_code, answer.json()["code"]) == (400, "empty_body")


def test_a_prediction_averaged_over_the_group_is_that_of_a_network_that_keeps_its_law(http: httpx.Client) -> None:
    body = files.netcdf3(files.dataset(3))
    averaged = http.post(PREDICT, params={"symmetrize": "true"}, content=body)
    assert averaged.status_code == 200, averaged.text
    plain = files.opened(http.post(PREDICT, content=body).content)
    for name, variable in files.opened(averaged.content).data_vars.items():
        np.testing.assert_allclose(variable, plain[name], rtol=1e-3, atol=1e-4)


def test_the_check_runs_on_a_grid_of_choice(http: httpx.Client) -> None:
    assert http.post(CHECK, params={"grid": "8,10"}).json()["grid"] == [8, 10]


@pytest.mark.parametrize(
    ("call", "body", "status", "code"),
    [
        (PREDICT, b"", 400, "empty_body"),
        (PREDICT, b"hello", 415, "not_netcdf"),
        (PREDICT + "?stride=2", b"x", 400, "invalid_query"),
        (PREDICT + "?map=u", b"x", 400, "invalid_query"),
        (PREDICT + "?boundary=z:zero", b"x", 400, "invalid_query"),
        (PREDICT + "?version=7", b"x", 404, "unknown_version"),
        ("/v1/models/huge/predict", b"x", 404, "unknown_model"),
        (PREDICT, b"CDF" + bytes(2**20), 413, "payload_too_large"),
        (CHECK + "?grid=8", b"", 422, "grid_unsupported"),
        (CHECK + "?grid=9,8", b"", 422, "grid_unsupported"),
        (CHECK + "?grid=80000,80000", b"", 413, "inflated_too_large"),
        (CHECK + "?seed=-1", b"", 400, "invalid_query"),
        (CHECK + "?seed=one", b"", 400, "invalid_query"),
        (CHECK + "?grid=8,8", b"x", 400, "invalid_query"),
    ],
)
def test_a_bad_request_is_a_problem_with_its_code(
    http: httpx.Client, call: str, body: bytes, status: int, code: str
) -> None:
    answer = http.post(call, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_a_missing_variable_is_named_beside_what_was_sent_and_what_is_wanted(http: httpx.Client) -> None:
    answer = http.post(PREDICT, content=files.netcdf3(files.dataset(7).drop_vars("v")))
    found = answer.json()
    assert (answer.status_code, found["code"]) == (422, "variable_missing")
    assert {variable["name"] for variable in found["variables"]} >= {"u", "c"}
    assert "velocity" in json.dumps(found["wants"])


def test_an_answer_that_comes_too_late_is_a_problem(http: httpx.Client) -> None:
    headers = {"Equifield-Timeout-Ms": "1"}
    answer = http.post(PREDICT, content=files.netcdf3(files.dataset(8, batch=4)), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


def test_models_are_described_with_everything_a_client_needs(http: httpx.Client) -> None:
    (listed,) = http.get("/v1/models").json()["models"]
    assert listed == http.get("/v1/models/tiny").json() == http.get("/v1/models/tiny/versions/1").json()
    assert (listed["state"], listed["versions"], listed["group"]) == ("ready", ["1"], "C4")
    assert [field["name"] for field in listed["inputs"]] == ["velocity", "tracer"]
    assert listed["grid"]["axes"] == ["x", "y"]
    assert listed["certificate"]["passed"] and len(listed["digest"]) == 64


def test_a_service_with_all_models_checked_is_live_and_ready(http: httpx.Client) -> None:
    assert http.get("/healthz/live").json() == {"status": "live"}
    ready = http.get("/healthz/ready")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "models": {"tiny/1": {"state": "ready", "reason": None}}}


def test_metrics_tell_of_requests_batches_and_the_measured_error(http: httpx.Client) -> None:
    predicted(http, files.dataset(9))
    text = http.get("/metrics").text
    for name in (
        'equifield_requests_total{method="POST",route="/v1/models/{name}/predict",status="200"}',
        "equifield_batch_samples_sum",
        'equifield_device_seconds_count{model="tiny"}',
        'equifield_payload_seconds_count{step="decode"}',
        'equifield_equivariance_error{model="tiny/1"}',
    ):
        assert name in text
