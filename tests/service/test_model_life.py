"""The life of models in a running service: new versions, bad ones, rollback, models that make room for others."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from tests.running import Running, start, until
from tests.service import files, packages

PREDICT = "/v1/models/tiny/predict"
BODY = files.netcdf3(files.dataset(1))


@pytest.fixture
def living(store: Path) -> Iterator[Running]:
    """A service on a store of one's own, into which it looks often."""
    running = start(store, payload_processes="1", max_batch="1", store_poll_s="0.1", monitor_share="1")
    with running.process:
        yield running
        assert running.stop() == 0


@pytest.fixture
def http(living: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=living.url, timeout=120) as client:
        yield client


def version(http: httpx.Client) -> str:
    """The version that answers when a request names none."""
    answer = http.post(PREDICT, content=BODY)
    assert answer.status_code == 200, answer.text
    return answer.headers["equifield-model"]


def staged(store: Path, version: str) -> Path:
    """A package that is written beside the store's own, to be moved into it at once."""
    return packages.publish(store.parent / "staging", version=version)


def test_versions_come_fail_and_go_while_every_request_is_answered(
    living: Running, http: httpx.Client, store: Path
) -> None:
    assert version(http) == "tiny/1"
    until(lambda: 'equifield_live_checks_total{model="tiny/1",passed="true"} 1.0' in http.get("/metrics").text)

    shutil.move(staged(store, "2"), store / "tiny" / "2")
    seen = {version(http)}
    until(lambda: bool(seen.add(version(http)) or "tiny/2" in seen))  # type: ignore[func-returns-value]
    assert seen == {"tiny/1", "tiny/2"}

    bad = staged(store, "3")
    victim = next(path for path in (bad / "checkpoint").rglob("*") if path.is_file())
    victim.write_bytes(victim.read_bytes() + b"!")
    shutil.move(bad, store / "tiny" / "3")
    until(lambda: http.get("/v1/models/tiny/versions/3").status_code == 200)
    assert http.get("/v1/models/tiny/versions/3").json()["state"] == "failed"
    assert "SHA-256" in http.get("/v1/models/tiny/versions/3").json()["reason"]
    assert http.get("/healthz/ready").status_code == 200
    assert version(http) == "tiny/2"

    shutil.rmtree(store / "tiny" / "2")
    until(lambda: version(http) == "tiny/1")
    gone = {"version": "2"}
    until(lambda: http.post(PREDICT, params=gone, content=BODY).json()["code"] == "unknown_version")

    assert http.post("/v2/repository/models/tiny/unload", json={}).status_code == 200
    refused = http.post(PREDICT, content=BODY)
    assert (refused.status_code, refused.json()["code"]) == (503, "model_unavailable")
    assert http.get("/v1/models/tiny/versions/1").json()["state"] == "unloaded"
    assert http.post("/v1/models/tiny/versions/1/load").status_code == 200
    assert version(http) == "tiny/1"
    assert http.post("/v1/models/tiny/versions/1/unload").status_code == 200
    assert http.post("/v1/models/tiny/versions/1/load").status_code == 200
    failed = http.post("/v1/models/tiny/versions/3/load")
    assert (failed.status_code, failed.json()["code"]) == (503, "model_unavailable")


@pytest.mark.soak
def test_models_that_do_not_fit_on_the_device_together_take_turns_and_answer_right(store: Path) -> None:
    for name in ("small", "other"):
        packages.publish(store, name=name, version="1")
    answers: dict[str, npt.NDArray[np.float32]] = {}
    for limit in ({}, {"max_device_bytes": "1"}):
        running = start(store, payload_processes="1", max_batch="1", **limit)
        with running.process, httpx.Client(base_url=running.url, timeout=120) as http:
            for name in ("tiny", "small", "other", "tiny"):
                answer = http.post(f"/v1/models/{name}/predict", content=BODY)
                assert answer.status_code == 200, answer.text
                values = np.asarray(files.opened(answer.content)["u"])
                np.testing.assert_allclose(values, answers.setdefault(name, values), rtol=1e-5)
            assert running.stop() == 0
