"""The servers that are compared: how each is started, asked and ended, and what memory it takes."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from benchmarks.serving import package
from benchmarks.serving.model import FEATURES, GRID, Samples, convolve, random_layers

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
OCTETS = "application/octet-stream"
START_S, STOP_S = 180.0, 30.0
TOLERANCE = 1e-4


class Refused(Exception):
    """A server does not start, or does not answer what the function gives."""


@dataclass(frozen=True)
class Body:
    """One kind of request."""

    path: str
    content: bytes
    headers: dict[str, str]
    read: Callable[[bytes, dict[str, str]], Samples]
    expected: Samples
    only: tuple[int, ...] | None = None
    """The numbers of connections that it is sent on, where they are not all."""

    def request(self, port: int) -> bytes:
        """The whole request, as bytes."""
        headers = {"Host": f"{HOST}:{port}", "Content-Length": str(len(self.content)), **self.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.content


@dataclass(frozen=True)
class Server:
    """One server: its name, its command (`{port}` is filled in), its bodies by name and its environment."""

    name: str
    command: tuple[str, ...]
    bodies: dict[str, Body]
    environment: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self, log: Path) -> Iterator[tuple[int, str]]:
        """Starts it and waits until it answers rightly; its port and mark. Ends it with the context.

        **Raises** `Refused` when it does not.
        """
        port, mark = _free_port(), f"BENCHMARKED_SERVER={uuid.uuid4().hex}"
        name, _, value = mark.partition("=")
        with log.open("a") as output:
            process = subprocess.Popen(
                [part.format(port=port) for part in self.command],
                env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", name: value, **self.environment},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(port, process)
            yield port, mark
        finally:
            _end(process, mark)

    def _wait(self, port: int, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        bodies = list(self.bodies.values())
        while bodies:
            if time.monotonic() > deadline or process.poll() is not None:
                raise Refused(f"{self.name} does not answer; its output is in the log.")
            try:
                found = _ask(port, bodies[0])
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)
                continue
            error = float(np.abs(found - bodies[0].expected).max())
            if error > TOLERANCE:
                raise Refused(f"{self.name} answers something else: it is off by {error:.2e}.")
            bodies.pop(0)


def servers(pythons: dict[str, str], store: Path) -> list[Server]:
    """Ours, and the peers of which an environment is given."""
    raw = {"Content-Type": OCTETS}
    plain = Body("/predict", package.CONVOLUTION.sample().tobytes(), raw, lambda body, _: _samples(body), _expected())
    peers = {
        "LitServe 0.2.19": ("litserve", {"raw": plain}),
        "BentoML 1.4.39": ("bentoml", {"raw": plain}),
        "Ray Serve 2.60.0": ("ray", {"raw": plain}),
        "MLServer 1.7.1": ("mlserver", {"raw": _mlserver_body()}),
    }
    found = [_ours(store)]
    for name, (peer, bodies) in peers.items():
        if python := pythons.get(peer):
            command: tuple[str, ...] = (python, "-m", f"benchmarks.serving.{peer}_peer", "{port}")
            if peer == "bentoml":
                program = str(Path(python).parent / "bentoml")
                command = (program, "serve", "benchmarks.serving.bentoml_peer:Front", "--port", "{port}")
            found.append(Server(name, command, bodies, {"BENTOML_DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0"}))
    return found


def _ours(store: Path) -> Server:
    doubled, alone = 2 * package.DOUBLING.sample(), (1,)
    bodies = {
        "raw": _raw(package.CONVOLUTION, _expected()),
        "NetCDF": _netcdf(package.CONVOLUTION, _expected()),
        "raw, 128 x 128": replace(_raw(package.DOUBLING, doubled), only=alone),
        "NetCDF, 128 x 128": replace(_netcdf(package.DOUBLING, doubled), only=alone),
    }
    command = (sys.executable, "-m", "equifield_service", "serve", "--port", "{port}", "--store", str(store))
    return Server("Equifield", command, bodies)


def _raw(of: package.Package, expected: Samples) -> Body:
    content, json_size = of.raw_body()
    return Body(
        f"/v2/models/{of.name}/infer",
        content,
        {"Inference-Header-Content-Length": str(json_size), "Content-Type": OCTETS},
        lambda body, headers: of.read_raw(body, int(headers["inference-header-content-length"])),
        expected,
    )


def _netcdf(of: package.Package, expected: Samples) -> Body:
    headers = {"Content-Type": "application/netcdf"}
    return Body(f"/v1/models/{of.name}/predict", of.netcdf(), headers, lambda body, _: of.read_netcdf(body), expected)


def _mlserver_body() -> Body:
    text = base64.b64encode(package.CONVOLUTION.sample().tobytes()).decode()
    tensor = {"name": "sample", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    return Body(
        "/v2/models/conv/infer",
        json.dumps({"inputs": [tensor]}).encode(),
        {"Content-Type": "application/json"},
        lambda body, _: _samples(base64.b64decode(json.loads(body)["outputs"][0]["data"][0])),
        _expected(),
    )


def _samples(body: bytes) -> Samples:
    return np.frombuffer(body, np.float32).reshape(1, *GRID, FEATURES)


def _expected() -> Samples:
    return np.asarray(convolve(jnp.asarray(package.CONVOLUTION.sample()), random_layers()))


def _ask(port: int, body: Body) -> Samples:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request("POST", body.path, body.content, body.headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise OSError(f"{answer.status}: {content[:300]!r}")
        return body.read(content, {name.lower(): value for name, value in answer.getheaders()})
    finally:
        connection.close()


def memory(mark: str) -> float:
    """The memory of all processes of a server in MB; what several of them share is counted once."""
    total = 0
    for process in _processes(mark):
        with suppress(OSError):  # it has ended meanwhile
            lines = process.joinpath("smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1e3


def processor_seconds(mark: str) -> float:
    """What all processes of a server have taken of the processor, with those that they have ended."""
    ticks = 0
    for process in _processes(mark):
        with suppress(OSError):
            ticks += sum(map(int, process.joinpath("stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _processes(mark: str) -> list[Path]:
    """The processes that have inherited the mark of a server, wherever in the tree they are."""
    found = []
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit() and mark.encode() in path.joinpath("environ").read_bytes():
                found.append(path)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ends a server and whatever it has started."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    for path in _processes(mark):
        with suppress(ProcessLookupError):
            os.kill(int(path.name), signal.SIGKILL)
    process.wait()
