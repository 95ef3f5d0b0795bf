"""Accepted jobs end well, once, with the right result, whatever is killed."""

import contextlib
import itertools
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import xarray as xr

from tests.running import Running, start
from tests.service import files
from tests.service.jobs import running as databases
from tests.service.jobs.asking import ENDED, JOBS

Record = Callable[[str, object], None]
PATIENCE_S = 600.0
NAMES = ("u", "v", "c")


class House:
    """A service that is started again when it is killed; what is asked of it is asked until it answers."""

    def __init__(self, store: Path, folder: Path, **settings: str):
        self._store = store
        self._settings = {"payload_processes": "1", "max_batch": "2", "job_lease_s": "2", "log_level": "error"}
        self._settings |= {"jobs": str(folder), **settings}
        self.running = self._start()

    def _start(self) -> Running:
        return start(self._store, **self._settings)

    def kill(self, *kinds: str) -> None:
        """Ends processes at once; the gateway is started again."""
        for kind in kinds:
            for pid in self.running.children().get(kind, [])[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if "gateway" in kinds:
            self.end()
            self.running = self._start()

    def end(self) -> None:
        """Ends the gateway at once."""
        with self.running.process as process:
            process.kill()

    def ask(self, method: str, path: str, **details: Any) -> httpx.Response:
        """An answer that is not a fault of the moment."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.request(method, self.running.url + path, timeout=120, **details)
                if answer.status_code not in (429, 503, 504):
                    return answer
        raise AssertionError(f"{method} {path} got no answer")

    def submit(self, seed: int, steps: int, every: int) -> str:
        """The path of a job; asked for with a key, so that a lost answer costs nothing."""
        answer = self.ask(
            "POST",
            JOBS,
            params={"model": "calm", "steps": steps, "every": every},
            content=files.netcdf3(files.dataset(seed)),
            headers={"Idempotency-Key": f"{seed}"},
        )
        assert answer.status_code == 202, answer.text
        return answer.headers["location"]

    def unfinished(self) -> list[dict[str, Any]]:
        """Jobs that have not ended."""
        jobs = self.ask("GET", JOBS, params={"limit": 1000}).json()["jobs"]
        return [job for job in jobs if job["status"] not in ENDED]

    def goes_on(self) -> bool:
        """Waits until something has happened to some job; whether there is one that has not ended."""
        left = self.unfinished()
        if not left:
            return False
        path = f"{JOBS}/{left[-1]['jobID']}"
        known = self.ask("GET", path)
        self.ask("GET", path, headers={"If-None-Match": known.headers["etag"], "Prefer": "wait=10"})
        return True

    def stop(self) -> int:
        """Ends it as an operator does."""
        return self.running.stop()


@contextlib.contextmanager
def housed(*houses: House) -> Iterator[None]:
    try:
        yield
        assert [house.stop() for house in houses] == [0] * len(houses)
    finally:
        for house in houses:
            house.end()


def result_of(house: House, path: str) -> xr.Dataset:
    status = house.ask("GET", path).json()
    assert status["status"] == "successful", status
    return files.opened(house.ask("GET", f"{path}/result").content)


def rollout(house: House, seed: int, steps: int, every: int) -> xr.Dataset:
    """The same by a request, from a service that nobody kills any more."""
    query = {"steps": steps, "every": every}
    body = files.netcdf3(files.dataset(seed))
    return files.opened(house.ask("POST", "/v1/models/calm/predict", params=query, content=body).content)


def assert_right(house: House, asked: Sequence[tuple[int, int, int]], paths: Sequence[str]) -> None:
    """Every job is there once, with the very bits of an undisturbed rollout."""
    listed = [f"{JOBS}/{job['jobID']}" for job in house.ask("GET", JOBS, params={"limit": 1000}).json()["jobs"]]
    assert sorted(listed) == sorted(paths)
    for (seed, steps, every), path in zip(asked, paths, strict=True):
        result, expected = result_of(house, path), rollout(house, seed, steps, every)
        assert len(result.step) == steps // every
        for name in NAMES:
            np.testing.assert_array_equal(result[name].values, expected[name].transpose(*result[name].dims).values)


def told(house: House, count: int, steps: int, faults: Sequence[tuple[str, ...]], database: Any = None) -> None:
    """Hands in jobs, some between the faults, and waits for all."""
    asked = [(seed, steps * (1 + seed % 2), 1 + seed % 3 // 2) for seed in range(count)]
    paths, coming = list[str](), iter(asked)
    for kinds in faults:
        paths += [house.submit(*one) for one in itertools.islice(coming, -(-count // len(faults)))]
        house.goes_on()
        if "database" in kinds:
            database("stop", "-m", "immediate")
            database("start")
        house.kill(*kinds)
    paths += [house.submit(*one) for one in coming]
    deadline = time.monotonic() + PATIENCE_S
    while house.goes_on():
        assert time.monotonic() < deadline, house.unfinished()
    assert_right(house, asked, paths)


def test_killed_processes_lose_no_job_and_change_no_bit(calm: Path, tmp_path: Path, record_property: Record) -> None:
    house, began = House(calm, tmp_path / "jobs"), time.monotonic()
    with housed(house):
        told(house, 4, 400, [("worker", "payload"), ("gateway",)])
    record_property("seconds for 4 jobs and 3 faults", round(time.monotonic() - began, 1))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_hundred_jobs_survive_what_is_killed_at_random(calm: Path, tmp_path: Path, kind: str) -> None:
    rng = random.Random(1)
    choices = [("worker",), ("payload",), ("gateway",), ("worker", "payload"), ("worker", "gateway")]
    if kind == "sqlite":
        house = House(calm, tmp_path / "jobs")
        with housed(house):
            told(house, 200, 300, rng.choices(choices, k=20))
        return
    if reason := databases.obstacle():
        pytest.skip(reason)
    with databases.server() as (url, control):
        house = House(calm, tmp_path / "jobs", ledger=f"{url}/postgres")
        with housed(house):
            told(house, 200, 300, rng.choices([*choices, ("database",), ("database", "worker")], k=20), control)


def test_two_gateways_share_the_work_and_survive_the_loss_of_one(calm: Path, tmp_path: Path) -> None:
    if reason := databases.obstacle():
        pytest.skip(reason)
    with databases.server() as (url, _):
        first = House(calm, tmp_path / "jobs", ledger=f"{url}/postgres", job_slots="1")
        second = House(calm, tmp_path / "jobs", ledger=f"{url}/postgres", job_slots="1")
        with housed(second):
            asked = [(seed, 1000, 1) for seed in range(6)]
            paths = [first.submit(*one) for one in asked]
            while len([job for job in second.unfinished() if job["status"] == "running"]) < 2:
                assert second.goes_on()
            first.end()
            while second.goes_on():
                pass
            assert_right(second, asked, paths)


def test_a_full_disk_refuses_new_jobs_and_loses_no_accepted_one(calm: Path, tmp_path: Path) -> None:
    house = House(calm, tmp_path / "jobs")
    with housed(house):
        asked = [(1, 20_000, 10)]
        paths = [house.submit(*asked[0])]
        gateway = house.running.process.pid
        unlimited = resource.prlimit(gateway, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway, resource.RLIMIT_FSIZE, (256, unlimited[1]))
        refused = house.ask("POST", JOBS, params={"model": "calm", "steps": 1}, content=files.netcdf3(files.dataset(2)))
        assert (refused.status_code, refused.json()["code"]) == (507, "spool_full")
        resource.prlimit(gateway, resource.RLIMIT_FSIZE, unlimited)
        asked.append((2, 10, 1))
        paths.append(house.submit(*asked[1]))
        while house.goes_on():
            pass
        for path, (_, steps, every) in zip(paths, asked, strict=True):
            assert len(result_of(house, path).step) == steps // every
        assert len(house.ask("GET", JOBS).json()["jobs"]) == 2
