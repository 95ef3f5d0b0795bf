"""A scripted peer: a real HTTP server on the loopback that answers what a test tells it to."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
import xarray as xr

from equifield_client import AsyncClient, Client
from equifield_client._netcdf import encode
from equifield_client.command import main

Done = subprocess.CompletedProcess[str]
Shell = Callable[..., Done]
Use = Callable[[Any], Any]
Call = Callable[..., Any]

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Recorded:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Peer:
    """The script, what arrived, and the address. The last step is repeated."""

    url: str = ""
    script: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    requests: list[Recorded] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def answers(self, status: int, body: bytes | object = b"", **headers: str) -> "Peer":
        """Then it answers; what is not bytes is sent as JSON, an error as a problem document."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        given = {} if isinstance(body, bytes) else {"Content-Type": kind}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}

        def step(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in given.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        self.script.append(step)
        return self

    def hangs_up(self) -> "Peer":
        """Then it closes the connection without a word."""
        self.script.append(lambda handler: setattr(handler, "close_connection", True))
        return self

    def stays_silent(self) -> "Peer":
        """Then it says nothing until the test is over."""
        self.script.append(lambda handler: None if self.release.wait(30) else None)
        return self

    def dribbles(self) -> "Peer":
        """Then it sends one byte after the other, each well within any pause between bytes."""

        def step(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
            handler.close_connection = True
            while not self.release.wait(0.02):
                handler.wfile.write(b"C")

        self.script.append(step)
        return self


def handler_of(peer: Peer) -> type[BaseHTTPRequestHandler]:
    """The handler class that plays a peer's script."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            peer.requests.append(Recorded(self.command, parts.path, query, dict(self.headers), body))
            step = peer.script.pop(0) if len(peer.script) > 1 else peer.script[0]
            try:
                step(self)
            except ConnectionError:  # the client went away, as some tests want
                self.close_connection = True

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Stays quiet."""

    return Handler


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A server whose answers the test scripts."""
    peer = Peer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(peer))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    peer.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread.start()
    yield peer
    peer.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """`call(url, use, **options)` runs `use(client)`: in one test with a `Client`, in the other awaited."""

    def sync(url: str, use: Use, **options: Any) -> Any:
        with Client(url, **options) as client:
            return use(client)

    def concurrent(url: str, use: Use, **options: Any) -> Any:
        async def main() -> Any:
            async with AsyncClient(url, **options) as client:
                return await use(client)

        return asyncio.run(main())

    return sync if request.param == "sync" else concurrent


@pytest.fixture
def wind() -> xr.Dataset:
    """A smooth wind field with temperature on a periodic 32 x 32 grid."""
    x = y = np.linspace(0, 1, 32, endpoint=False)
    phase = 2 * np.pi * (x[None, :] + y[:, None])
    fields = {
        "u": (np.sin(phase), "m s-1"),
        "v": (np.cos(phase), "m s-1"),
        "temperature": (280 + np.sin(2 * phase), "K"),
    }
    return xr.Dataset(
        {name: (("y", "x"), data.astype("float32"), {"units": unit}) for name, (data, unit) in fields.items()},
        coords={"x": ("x", x, {"axis": "X"}), "y": ("y", y, {"axis": "Y"})},
    )


@pytest.fixture
def flow() -> xr.Dataset:
    """A state of turbulence on a periodic 32 x 32 grid, from which one can roll out."""
    return xr.load_dataset(EXAMPLES / "turbulence.nc").isel(time=0)


@pytest.fixture
def report_json() -> dict[str, Any]:
    """An equivariance report as the service sends it."""
    rows = [
        {"element": "identity", "field": "wind", "error": 0.0},
        {"element": "identity", "field": "temperature", "error": 0.0},
        {"element": "quarter turn", "field": "wind", "error": 2.5e-7},
        {"element": "quarter turn", "field": "temperature", "error": 1e-7},
    ]
    return {
        "model": "wind-downscale-2d",
        "version": "1",
        "group": "B2",
        "grid": [32, 32],
        "dtype": "float32",
        "tolerance": 1e-5,
        "passed": True,
        "worst": rows[2],
        "rows": rows,
        "caveats": ["y has a zero boundary"],
    }


@pytest.fixture
def model_json(report_json: dict[str, Any]) -> dict[str, Any]:
    """A model as the service describes it."""
    wind = {
        "name": "wind",
        "order": 1,
        "parity": 0,
        "units": "m s-1",
        "long_name": None,
        "components": [
            {"axes": ["x"], "variable": "u", "standard_names": ["eastward_wind", "x_wind"]},
            {"axes": ["y"], "variable": "v", "standard_names": ["northward_wind", "y_wind"]},
        ],
        "mean": 0.0,
        "scale": 8,
    }
    return {
        "name": "wind-downscale-2d",
        "version": "1",
        "versions": ["1"],
        "title": "Finer wind",
        "description": "Divides cells.",
        "licence": "Apache-2.0",
        "group": "B2",
        "dtype": "float32",
        "inputs": [wind],
        "outputs": [wind],
        "grid": {
            "axes": ["x", "y"],
            "boundary": ["periodic", "zero"],
            "multiple": 4,
            "refinement": 2,
            "warm": [[32, 32]],
        },
        "translation_step": 4,
        "digest": "sha256:0",
        "state": "ready",
        "reason": None,
        "certificate": report_json,
        "provenance": {"seed": 0},
    }


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs `equifield ...` in an empty folder; `EQUIFIELD_URL` is the peer's address, if one is given."""

    def run(*arguments: str | Path, url: str = "", path: tuple[str, ...] = ()) -> Done:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, *sys.path]), "COLUMNS": "200"}
        environment |= {"EQUIFIELD_URL": url} if url else {}
        command = [sys.executable, "-m", "equifield_client", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)

    return run


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs `equifield ...` as `shell` does, but without a process of its own, which takes a second."""

    def run(*arguments: str | Path, url: str = "") -> Done:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("EQUIFIELD_URL", url or "http://127.0.0.1:1")
        with pytest.raises(SystemExit) as caught:
            main([*map(str, arguments)])
        code = caught.value.code
        return Done(arguments, code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


@pytest.fixture
def source(tmp_path: Path, wind: xr.Dataset) -> Path:
    """A wind field in a file."""
    path = tmp_path / "in.nc"
    path.write_bytes(encode(wind))
    return path
