"""A service, and the jobs and predictions that are timed in it."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import xarray as xr

from benchmarks.serving.load import send
from equifield.package.manifest import packed_components
from equifield_service.workers.loaded import Case, LoadedModel
from equifield_service.workers.rollouts import Course

READY = "Equifield is ready on "
SIDE, STEPS, EVERY = 64, 1000, 10
LISTENERS, CONNECTIONS = 200, 8


class Service:
    """A service, and the questions that are put to it."""

    def __init__(self, http: httpx.Client, package: Path):
        self._http, self._port = http, http.base_url.port or 80
        self._model = LoadedModel(package, max_batch=8, max_grids=8)
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

    def _follow(self, path: str) -> None:
        with self._http.stream("GET", f"{path}/events") as events:
            events.read()

    def _ended(self, path: str) -> dict[str, Any]:
        self._follow(path)
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

    def alone(self) -> float:
        """Seconds of a job of one step, from handing it in until its last event."""
        begun = time.perf_counter()
        self._follow(self._submit(1, 1))
        return time.perf_counter() - begun

    def predictions(self, count: int) -> float:
        """Seconds per prediction of one step, when some connections have no other work."""
        return send(self._port, CONNECTIONS, count, self._request(f"/v1/models/{self._name}/predict?steps=1")) / count

    def stream(self, count: int) -> float:
        """Seconds per job of one step, handed in on as many connections, from the first until all have ended."""
        begun = time.time()
        send(self._port, CONNECTIONS, count, self._request(f"/v1/jobs?model={self._name}&steps=1"))
        for job in self._newest(count):
            if job["finished"] is None:
                self._ended(f"/v1/jobs/{job['jobID']}")
        ended = max(datetime.fromisoformat(job["finished"]).timestamp() for job in self._newest(count))
        return (ended - begun) / count

    def _newest(self, count: int) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = (
            self._http.get("/v1/jobs", params={"limit": count}).raise_for_status().json()["jobs"]
        )
        return jobs

    def _request(self, path: str) -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(self._body)}\r\n\r\n"
        return head.encode() + self._body


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
    started, finished = (datetime.fromisoformat(status[name]) for name in ("started", "finished"))
    return (finished - started).total_seconds()


@contextmanager
def running(store: Path, folder: str) -> Iterator[str]:
    """Where a service listens that was started for this."""
    command = [sys.executable, "-m", "equifield_service", "serve", "--port", "0", "--store", str(store)]
    environment = {**os.environ, "EQUIFIELD_JOBS": folder, "EQUIFIELD_LOG_LEVEL": "warning"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("stdout is piped")
            yield process.stdout.readline().strip().removeprefix(READY)
        finally:
            process.terminate()
