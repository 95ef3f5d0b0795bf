"""The life of the service: how it starts, what it survives, how it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from tests.running import READY, Running, start
from tests.service import files

PREDICT = "/v1/models/tiny/predict"


def predict(http: httpx.Client, seed: int) -> npt.NDArray[np.float32]:
    answer = http.post(PREDICT, content=files.netcdf3(files.dataset(seed)))
    assert answer.status_code == 200, answer.text
    return np.asarray(files.opened(answer.content)["u"], np.float32)


def test_the_gateway_loads_neither_jax_nor_a_netcdf_library() -> None:
    code = "import sys, equifield_service.server; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "fastapi" in loaded
    assert not {"jax", "equinox", "orbax", "netCDF4", "h5py", "xarray", "scipy"} & set(loaded)


def test_a_running_gateway_has_mapped_neither_jax_nor_hdf5(service: Running, http: httpx.Client) -> None:
    predict(http, 1)
    gateway = Path(f"/proc/{service.process.pid}/maps").read_text()
    (worker,) = service.children()["worker"]
    assert "jaxlib" in Path(f"/proc/{worker}/maps").read_text()
    assert not [line for line in gateway.splitlines() if "jaxlib" in line or "hdf5" in line or "netCDF4" in line]


@pytest.mark.parametrize("kind", ["worker", "payload"])
def test_killing_a_process_under_load_loses_no_request(service: Running, http: httpx.Client, kind: str) -> None:
    expected = [predict(http, seed) for seed in range(8)]
    victim = service.children()[kind][0]
    under_load = threading.Event()

    def ask(index: int) -> npt.NDArray[np.float32]:
        if index == 8:
            under_load.set()
        return predict(http, index % 8)

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, index) for index in range(40)]
        under_load.wait(60)
        os.kill(victim, signal.SIGKILL)
        for index, answer in enumerate(answers):
            np.testing.assert_allclose(answer.result(), expected[index % 8], rtol=1e-4, atol=1e-5)
    while victim in service.children()[kind]:  # it may not have begun to die when the last answer came
        pass


def test_a_package_that_was_tampered_with_is_reported_and_the_other_is_served(store: Path) -> None:
    victim = store / "spoilt" / "1"
    victim.mkdir(parents=True)
    (victim / "manifest.json").write_text("{}")
    running = start(store, payload_processes="1", max_batch="1")
    with running.process, httpx.Client(base_url=running.url, timeout=120) as http:
        assert "not ready: spoilt/1: manifest.json" in running.line
        ready = http.get("/healthz/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "failed")
        assert ready.json()["models"]["tiny/1"]["state"] == "ready"
        assert "manifest.json" in http.get("/v1/models/spoilt").json()["reason"]
        refused = http.post("/v1/models/spoilt/predict", content=b"x")
        assert (refused.status_code, refused.json()["code"]) == (503, "model_unavailable")
        predict(http, 1)
        assert running.stop() == 0


def test_sigterm_answers_what_was_accepted_then_ends_with_zero_and_leaves_nothing(published: Path) -> None:
    running = start(published, payload_processes="1", max_batch="1")
    assert running.line.startswith(READY)
    body = files.netcdf3(files.dataset(1, batch=8))

    def halves() -> Iterator[bytes]:
        yield body[:100]
        while "equifield_admitted_requests 1.0" not in httpx.get(f"{running.url}/metrics").text:
            pass
        running.process.send_signal(signal.SIGTERM)
        yield body[100:]

    with running.process:
        answer = httpx.post(running.url + PREDICT, content=halves(), timeout=120)
        assert answer.status_code == 200
        assert running.process.wait(60) == 0
    assert not list(Path("/dev/shm").glob(f"equifield-{running.process.pid}-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "/nowhere"], "The store /nowhere cannot be read"),
        (["--store", ".", "--max-batch", "0"], "max_batch: Input should be greater than or equal to 1"),
        (["--store", "."], "No jobs can be kept in /proc/jobs: No such file or directory"),
    ],
    ids=["store", "setting", "jobs"],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "equifield_service", "serve", *arguments]
    environment = os.environ | {"EQUIFIELD_JOBS": "/proc/jobs"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert message in ended.stderr and "Traceback" not in ended.stderr


def test_a_service_that_cannot_start_its_processes_says_why_and_fails(published: Path, tmp_path: Path) -> None:
    (tmp_path / "xarray.py").write_text("raise ImportError('spoilt')")
    command = [sys.executable, "-m", "equifield_service", "serve", "--port", "0", "--store", str(published)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "EQUIFIELD_PAYLOAD_PROCESSES": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 3
    assert "spoilt" in ended.stderr
    assert not ended.stdout


def test_a_port_that_is_taken_is_refused_in_one_line(published: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "equifield_service", "serve", "--port", port, "--store", str(published)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_without_the_server_extra_the_import_names_it() -> None:
    code = (
        "import importlib.util as u, sys\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'fastapi' else real(name, *rest)\n"
        "import equifield_service"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "needs fastapi" in ended.stderr and "pip install 'equifield[server]'" in ended.stderr
