"""What a request may say about its body and its answer, over real HTTP."""

import asyncio
import base64
import hashlib
import time

import httpx
import numpy as np
import pytest

from equifield_service.domain.errors import DigestMismatch
from equifield_service.routes.digest import check_digest
from tests.hostile.kinds import KINDS
from tests.hostile.make import MODULES
from tests.service import files

assert MODULES, "importing them fills the list"

PREDICT = "/v1/models/tiny/predict"
HOSTILE = ("ext_raw_environ", "bomb_double_deflate_4GiB", "group_dag_2pow30", "nc3_20000_vars", "val_all_nan", "empty")


def post(http: httpx.Client, body: bytes, digest: str | None = None, **query: str) -> httpx.Response:
    headers = {} if digest is None else {"Content-Digest": digest}
    return http.post(PREDICT, content=body, params=query, headers=headers)


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


BODY = files.netcdf3(files.dataset(3))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"sha-256=:{sha256(BODY)}:",
        f"SHA-256=:{sha256(BODY)}:;x=1",
        f"md5=:AAAA:, sha-256=:{sha256(BODY)}:",
        "sha-512=:AAAA:",
    ],
)
def test_a_digest_that_fits_or_is_of_another_kind_passes(header: str | None) -> None:
    asyncio.run(check_digest(header, BODY))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (f"sha-256=:{sha256(b'another')}:", "is not that of the"),
        ("sha-256=:AAAA:", "is not that of the"),
        ("sha-256=AAAA", "not base64 between colons"),
        ("sha-256=:***:", "not base64 between colons"),
        ("sha-256", "not base64 between colons"),
    ],
)
def test_a_digest_that_does_not_fit_is_refused(header: str, message: str) -> None:
    with pytest.raises(DigestMismatch, match=message):
        asyncio.run(check_digest(header, BODY))


def test_a_body_that_was_damaged_on_its_way_is_refused(http: httpx.Client) -> None:
    assert post(http, BODY, f"sha-256=:{sha256(BODY)}:").status_code == 200
    damaged = bytearray(BODY)
    damaged[-5] ^= 1
    answer = post(http, bytes(damaged), f"sha-256=:{sha256(BODY)}:")
    assert (answer.status_code, answer.json()["code"]) == (400, "digest_mismatch")


def test_every_option_reaches_the_file(http: httpx.Client) -> None:
    data = files.dataset(4)
    data.c.attrs["units"] = "percent"
    data.u.values[0, 1, 2] = np.nan
    answer = post(
        http, files.netcdf3(data), missing="nearest", units="c:1", stagger="center", dtype="float64", compress="4"
    )
    assert answer.status_code == 200, answer.text
    assert answer.content.startswith(b"\x89HDF")
    back = files.opened(answer.content)
    assert back.u.dtype == np.float64
    assert back.u.encoding["complevel"] == 4
    assert np.isnan(back.u.values[0, 1, 2])
    assert np.isnan(back.c.values).sum() == 1
    assert "'c' read as 1, not percent" in back.attrs["history"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"missing": "mean"}, 400, "invalid_query"),
        ({"stagger": "left"}, 400, "invalid_query"),
        ({"dtype": "float16"}, 400, "invalid_query"),
        ({"compress": "10"}, 400, "invalid_query"),
        ({"units": "c"}, 400, "invalid_query"),
        ({"units": "c:kg"}, 422, "units_mismatch"),
        ({"group": "/model"}, 422, "group_missing"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_its_code(
    http: httpx.Client, query: dict[str, str], status: int, code: str
) -> None:
    answer = post(http, BODY, **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_document_describes_every_option(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    described = {p["name"]: p.get("description") for p in paths["/v1/models/{name}/predict"]["post"]["parameters"]}
    for name in ("units", "missing", "group", "stagger", "dtype", "compress", "Content-Digest"):
        assert described[name]
    checked = {p["name"] for p in paths["/v1/models/{name}/equivariance"]["post"]["parameters"]}
    assert {"units", "missing", "group", "stagger"} <= checked


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_answered_in_time_and_the_next_request_is_served(http: httpx.Client, name: str) -> None:
    body = KINDS[name].make()
    started = time.monotonic()
    answer = post(http, body)
    assert time.monotonic() - started < 20
    assert answer.status_code in KINDS[name].answers | {413}  # the body itself may be too large for this service
    assert answer.headers["content-type"] == "application/problem+json"
    assert post(http, BODY).status_code == 200
