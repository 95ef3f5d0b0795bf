"""What a job costs beside its computing.

    python -m benchmarks.jobs [--database URL] [--jobs 10000] [--store models_store] [--model wind-denoise-2d]

The ledger: jobs are accepted one after another, listed in pages, and claimed and finished one after another until none
is left. Without a URL the database is SQLite in a temporary folder; one that is named must be empty.

The service: a rollout as a job against the same programs called in this process, in turn; the same job with 200
listeners to its events and without, in turn; and jobs of one step against predictions, one after another.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import xarray as xr

from equifield.package.manifest import packed_components
from equifield_service.domain.jobs import Ledger, Order, Piece, file_of, new_id
from equifield_service.workers.loaded import Case, LoadedModel
from equifield_service.workers.rollouts import Course

PAGE = 100
LEASE_S = 3600.0
READY = "Equifield is ready on "
SIDE, STEPS, EVERY = 64, 1000, 10
LISTENERS, ROUNDS = 200, 5


def order() -> Order:
    """A job like others."""
    id = new_id()
    parameters = {"steps": 1000, "every": 10, "boundary": "periodic"}
    return Order(id, "weather", "1", Piece(file_of(id, "input"), 1, "0" * 64), "digest", "ann", id, 0, parameters)


async def timed(count: int, call: Callable[[], Awaitable[Any]]) -> list[float]:
    """Milliseconds of each of so many calls."""
    spent = []
    for _ in range(count):
        begun = time.perf_counter()
        await call()
        spent.append(1000 * (time.perf_counter() - begun))
    return spent


def told(what: str, spent: list[float]) -> None:
    """One line about many calls."""
    worst = statistics.quantiles(spent, n=100)[98]
    print(f"{what:<40} {statistics.median(spent):8.2f} ms median, {worst:8.2f} ms 99th percentile")


async def pages(ledger: Ledger) -> list[float]:
    """Milliseconds of each page, from the newest job to the oldest."""
    spent, cursor = [], None
    while True:
        begun = time.perf_counter()
        page = await ledger.page(limit=PAGE, cursor=cursor, owner="ann")
        spent.append(1000 * (time.perf_counter() - begun))
        cursor = page.next
        if cursor is None:
            return spent


async def ledger_costs(url: str, jobs: int) -> None:
    """Prints what the ledger takes for each thing that is asked of it."""
    ledger = await Ledger(url, keep_s=LEASE_S).start()

    async def work() -> None:
        job = await ledger.claim("benchmark", LEASE_S)
        if job is not None:
            await ledger.finish(job, Piece(file_of(job.id, "result"), 1, "0" * 64))

    told("accept", await timed(jobs, lambda: ledger.accept(order())))
    told(f"a page of {PAGE} of {jobs}", await pages(ledger))
    told("counts", await timed(10, ledger.counts))
    spent = await timed(jobs, work)
    told("claim and finish, the first tenth", spent[: jobs // 10])
    told("claim and finish, the last tenth", spent[-jobs // 10 :])
    await ledger.close()


class Service:
    """A service, and the questions that are put to it."""

    def __init__(self, http: httpx.Client, package: Path):
        self._http, self._model = http, LoadedModel(package, max_batch=8, max_grids=8)
        self._name = self._model.manifest.name
        self._case = Case((SIDE, SIDE), self._model.manifest.grid.boundary, piece=EVERY)
        self._model.prepare(self._case, 1)
        random = np.random.default_rng(0)
        fields = [field for field, _ in packed_components(self._model.manifest.inputs, self._model.manifest.grid.axes)]
        normal = 0.1 * random.standard_normal((1, SIDE, SIDE, len(fields)))
        mean, scale = (np.array([getattr(field, name) for field in fields]) for name in ("mean", "scale"))
        self._array = (mean + scale * normal).astype(np.float32)
        self._body = self._file()

    def _file(self) -> bytes:
        axes = self._model.manifest.grid.axes
        parts = packed_components(self._model.manifest.inputs, axes)
        fields = {
            component.variable: (axes, self._array[0, ..., index], {"units": field.units or "1"})
            for index, (field, component) in enumerate(parts)
        }
        places = {axis: (axis, np.arange(SIDE, dtype=float), {"units": "m", "axis": axis.upper()}) for axis in axes}
        return bytes(xr.Dataset(fields, coords=places).to_netcdf(engine="scipy", format="NETCDF3_64BIT"))

    def direct(self) -> float:
        """Seconds of a rollout in this process, by the programs of the worker."""
        rollout = self._model.rollout(self._array, self._case, Course(STEPS, EVERY, 600.0))
        if rollout is None:
            raise RuntimeError("the rollout is prepared")
        begun = time.perf_counter()
        rollout()
        return time.perf_counter() - begun

    def job(self, steps: int = STEPS, every: int = EVERY) -> float:
        """Seconds from the beginning of a job to its end, as its status tells them."""
        return _seconds(self._ended(self._submit(steps, every)))

    def _submit(self, steps: int, every: int) -> str:
        query = {"model": self._name, "steps": str(steps), "every": str(every)}
        answer = self._http.post("/v1/jobs", params=query, content=self._body).raise_for_status()
        return str(answer.headers["location"])

    def _ended(self, path: str) -> dict[str, Any]:
        with self._http.stream("GET", f"{path}/events") as events:
            events.read()
        status: dict[str, Any] = self._http.get(path).json()
        if status["status"] != "successful":
            raise RuntimeError(status["message"])
        return status

    def followed(self) -> float:
        """The same with many listeners to the events of the job."""
        path = self._submit(STEPS, EVERY)
        asyncio.run(_listen(str(self._http.base_url), path))
        return _seconds(self._http.get(path).json())

    def predict(self) -> float:
        """Seconds of a prediction of one step."""
        begun = time.perf_counter()
        path = f"/v1/models/{self._name}/predict"
        self._http.post(path, params={"steps": "1"}, content=self._body).raise_for_status()
        return time.perf_counter() - begun

    def drained(self, count: int) -> float:
        """Seconds per job of one step, when many wait."""
        paths = [self._submit(1, 1) for _ in range(count)]
        states = [self._ended(path) for path in paths]
        first, last = states[count // 10], states[-1]
        between = datetime.fromisoformat(last["finished"]) - datetime.fromisoformat(first["finished"])
        return between.total_seconds() / (count - 1 - count // 10)


async def _listen(url: str, path: str) -> None:
    """Reads the events of a job to their end, many times at once."""
    limits = httpx.Limits(max_connections=LISTENERS)

    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:

        async def follow() -> None:
            async with http.stream("GET", f"{path}/events") as events:
                async for _ in events.aiter_raw():
                    pass

        await asyncio.gather(*(follow() for _ in range(LISTENERS)))


def _seconds(status: dict[str, Any]) -> float:
    times = (datetime.fromisoformat(status[name]) for name in ("started", "finished"))
    started, finished = times
    return (finished - started).total_seconds()


def service_costs(store: Path, model: str) -> None:
    """Prints what a job costs beside its computing."""
    versions = sorted((store / model).iterdir(), key=lambda path: int(path.name))
    with (
        tempfile.TemporaryDirectory() as folder,
        _started(store, folder) as url,
        httpx.Client(base_url=url, timeout=600) as http,
    ):
        service = Service(http, versions[-1])
        for call in (service.direct, service.job, service.followed, service.predict):
            call()  # compiles what is not compiled yet
        kinds = (service.direct, service.job, service.followed)
        rounds = [[call() for call in kinds] for _ in range(ROUNDS)]
        direct, job, followed = ([each[index] for each in rounds] for index in range(len(kinds)))
        print(f"a rollout of {STEPS} steps, directly: {statistics.median(direct):.2f} s")
        _ratio(f"a rollout of {STEPS} steps: job / direct", job, direct)
        _ratio(f"the same with {LISTENERS} listeners / without", followed, job)
        told("a prediction of one step", [1000 * service.predict() for _ in range(200)])
        print(f"{'a job of one step, of 200 that wait':<40} {1000 * service.drained(200):8.2f} ms")


def _ratio(what: str, some: list[float], others: list[float]) -> None:
    each = sorted(one / other for one, other in zip(some, others, strict=True))
    print(f"{what:<40} {statistics.median(each):8.3f} ({each[0]:.3f} to {each[-1]:.3f} of {len(each)} in turn)")


@contextmanager
def _started(store: Path, folder: str) -> Iterator[str]:
    command = [sys.executable, "-m", "equifield_service", "serve", "--port", "0", "--store", str(store)]
    environment = {**os.environ, "EQUIFIELD_JOBS": folder, "EQUIFIELD_LOG_LEVEL": "warning"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("stdout is piped")
            yield process.stdout.readline().strip().removeprefix(READY)
        finally:
            process.terminate()


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="the URL of an empty database")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--store", type=Path, default=Path("models_store"))
    parser.add_argument("--model", default="wind-denoise-2d")
    arguments = parser.parse_args()
    service_costs(arguments.store, arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(ledger_costs(arguments.database or f"sqlite:///{folder}/jobs.sqlite", arguments.jobs))


if __name__ == "__main__":
    main()
