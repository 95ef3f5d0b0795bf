"""Jobs of the SDK against the real service with a shipped model; it is killed and started again."""

import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr

from equifield_client import (
    Client,
    IdempotencyConflict,
    JobDismissed,
    JobFailed,
    JobTimeout,
    Retry,
    UnknownJob,
    VariableMissing,
)
from tests.running import Running, start

from .test_jobs import listed, then

if TYPE_CHECKING:
    from tests.client.conftest import Call

MODEL = "turbulence-2d"
PACKAGE = Path(__file__).parents[2] / "models_store" / MODEL
LONG = 100_000
"""Steps that take longer than a test looks at them."""


def test_a_job_gives_what_predict_gives(service_url: str, call: "Call", flow: xr.Dataset) -> None:
    options: Any = {"steps": 20, "every": 5}
    expected = call(service_url, lambda client: client.predict(MODEL, flow, **options))
    job = call(service_url, lambda client: client.submit(MODEL, flow, **options))
    status = call(service_url, lambda client: client.job(job.id).wait())
    assert (status.status, status.step, status.steps, status.every, status.progress) == ("successful", 20, 20, 5, 100)
    assert status.diagnostics is not None and status.diagnostics.steps[-1] == 20
    result = call(service_url, lambda client: then(client.job(job.id).result(), lambda result: result.load()))
    assert dict(result.sizes) == dict(expected.sizes) and result["u"].dims[0] == "step"
    for name in ("u", "v"):
        np.testing.assert_array_equal(result[name], expected[name].transpose(*result[name].dims))


def test_a_file_is_the_lazy_result_and_all_of_its_frames(
    service_url: str, call: "Call", flow: xr.Dataset, tmp_path: Path
) -> None:
    job = call(service_url, lambda client: client.submit(MODEL, flow, steps=30, every=3))
    frames = call(service_url, lambda client: listed(client.job(job.id).frames()))
    call(service_url, lambda client: client.job(job.id).save(tmp_path / "out.nc"))
    result = call(service_url, lambda client: then(client.job(job.id).result(), lambda result: result.load()))
    with xr.open_dataset(tmp_path / "out.nc") as whole:
        xr.testing.assert_identical(result, whole.load())
    frames_are(frames, result, 10)


def frames_are(frames: list[xr.Dataset], whole: xr.Dataset, steps: int) -> None:
    """Checks that frames are the steps of a result, each once and in order."""
    assert len(frames) == whole.sizes["step"] == steps
    for number, frame in enumerate(frames):
        xr.testing.assert_identical(frame, whole.isel(step=number))


def test_steps_are_seen_while_the_job_is_running(service_url: str, flow: xr.Dataset) -> None:
    with Client(service_url) as client:
        job = client.submit(MODEL, flow, steps=LONG)
        frames = job.frames()
        assert [int(next(frames)["step"]) for _ in range(3)] == [1, 2, 3]
        assert not job.status().ended
        with pytest.raises(JobTimeout):
            job.wait(timeout=0.2)
        assert job.cancel().status == "dismissed"
        with pytest.raises(JobDismissed):
            list(frames)


def test_a_rollout_that_diverges_fails_and_says_where(service_url: str, call: "Call", flow: xr.Dataset) -> None:
    job = call(service_url, lambda client: client.submit(MODEL, flow * np.float32(1e38), steps=5))
    with pytest.raises(JobFailed, match="diverged") as caught:
        call(service_url, lambda client: client.job(job.id).result())
    assert caught.value.status.failure is not None and caught.value.status.failure.code == "diverged"


def test_a_wrong_file_is_refused_before_it_is_a_job(service_url: str, call: "Call", flow: xr.Dataset) -> None:
    with pytest.raises(VariableMissing):
        call(service_url, lambda client: client.submit(MODEL, flow.drop_vars("u"), steps=2))
    with pytest.raises(UnknownJob):
        call(service_url, lambda client: client.job("0" * 32).status())


def test_a_key_is_one_job_and_another_request_is_refused(service_url: str, call: "Call", flow: xr.Dataset) -> None:
    options: Any = {"steps": 2, "idempotency_key": f"mine {call.__name__}"}
    first = call(service_url, lambda client: client.submit(MODEL, flow, **options))
    again = call(service_url, lambda client: client.submit(MODEL, flow, **options))
    other = call(service_url, lambda client: client.submit(MODEL, flow, steps=2))
    assert first.id == again.id != other.id
    with pytest.raises(IdempotencyConflict):
        call(service_url, lambda client: client.submit(MODEL, flow, **options | {"steps": 3}))


def test_jobs_are_listed_newest_first_over_all_pages(
    service_url: str, call: "Call", flow: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equifield_client._calls.PAGE", 2)
    ids = [call(service_url, lambda client: client.submit(MODEL, flow)).id for _ in range(5)]
    found = call(service_url, lambda client: listed(client.jobs(model=MODEL)))
    assert [status.id for status in found[:5]] == ids[::-1]
    assert call(service_url, lambda client: listed(client.jobs(model="none"))) == []


def test_the_command_rolls_out_and_fetches(service_url: str, flow: xr.Dataset, tmp_path: Path) -> None:
    flow.to_netcdf(tmp_path / "in.nc", engine="scipy")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "EQUIFIELD_URL": service_url}

    def shell(*arguments: str) -> str:
        command = [sys.executable, "-m", "equifield_client", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    job_id = shell("rollout", MODEL, "in.nc", "--steps", "20", "--every", "10", "--detach").strip()
    shell("jobs", "fetch", job_id, "-o", "out.nc")
    assert xr.load_dataset(tmp_path / "out.nc").sizes["step"] == 2
    assert job_id in shell("jobs")


class House:
    """A service of one model that can be killed, and started again at the same address with the same jobs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(PACKAGE, folder / "store" / MODEL)
        self._running = self._started("0")
        self.url = self._running.url

    def kill(self) -> None:
        """Ends its gateway as a power cut would."""
        self._running.process.kill()
        self._running.process.communicate(timeout=60)

    def restart(self) -> None:
        """Starts it where it was."""
        self._running = self._started(str(urlsplit(self.url).port))

    def stop(self) -> None:
        """Ends it as an operator would."""
        self._running.process.terminate()
        self._running.process.communicate(timeout=60)

    def _started(self, port: str) -> Running:
        settings = {"jobs": str(self._folder / "jobs"), "payload_processes": "1", "job_lease_s": "2"}
        return start(self._folder / "store", port=port, **settings)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A service of one's own."""
    house = House(tmp_path)
    yield house
    house.stop()


def test_who_waits_and_who_watches_outlast_a_service_that_is_killed(house: House, flow: xr.Dataset) -> None:
    told: queue.Queue[Any] = queue.Queue()
    with Client(house.url, retries=Retry(limit=0, longest=0.1, patience=120)) as client:
        job = client.submit(MODEL, flow, steps=200, every=2)

        def wait() -> None:
            try:
                told.put(client.job(job.id).wait(timeout=150))
            except Exception as error:
                told.put(error)

        thread = threading.Thread(target=wait)
        thread.start()
        frames = job.frames()
        seen = [next(frames)]
        house.kill()
        assert told.empty()
        house.restart()
        status = told.get(timeout=160)
        thread.join()
        assert not isinstance(status, Exception), status
        assert (status.status, status.step) == ("successful", 200)
        frames_are([*seen, *frames], job.result().load(), 100)
