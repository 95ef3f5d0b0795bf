"""What the service's tests share: one store, and one real service on it."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import fsspec
import httpx
import pytest

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
def endpoint() -> Iterator[Callable[[str], str]]:
    """Where a protocol of buckets is spoken: by one server of this process, for all its tests."""
    with ExitStack() as servers:
        yield cache(lambda protocol: servers.enter_context(buckets.serving(protocol)))


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Has this process and its children speak a protocol with another server."""
    return lambda protocol, url: buckets.speak_to(protocol, url, monkeypatch)


@pytest.fixture
def new_bucket(endpoint: Callable[[str], str], reach: Callable[[str, str], None]) -> Callable[[str], str]:
    """Makes an empty bucket that is reached by a protocol."""

    def make(protocol: str) -> str:
        reach(protocol, endpoint(protocol))
        name = f"equifield-{secrets.token_hex(8)}"
        fsspec.filesystem(protocol).mkdir(name)
        return f"{protocol}://{name}"

    return make
