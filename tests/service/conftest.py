"""What the service's tests share: one store, and one real service on it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.running import Running, start
from tests.service import buckets


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    """A store of one's own, to tamper with."""
    return Path(shutil.copytree(published, tmp_path / "store"))


@pytest.fixture(scope="session")
def service(published: Path) -> Iterator[Running]:
    """The real service, as a process, for all tests that leave it as they found it."""
    running = start(published, payload_processes="2", max_batch="4", max_body_bytes=str(2**20))
    with running.process:
        yield running
        running.stop()


@pytest.fixture
def http(service: Running) -> Iterator[httpx.Client]:
    """A plain HTTP client of that service."""
    with httpx.Client(base_url=service.url, timeout=120) as client:
        yield client


@pytest.fixture
def shared_memory() -> Callable[[], set[Path]]:
    """The shared memory that this process holds and did not hold when the test began."""

    def held() -> set[Path]:
        return set(Path("/dev/shm").glob(f"equifield-{os.getpid()}-*"))

    before = held()
    return lambda: held() - before


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Where S3 is spoken: a server of this process, for all its tests."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has this process and its children speak to another S3."""
    return lambda url: buckets.speak_to(url, monkeypatch)
