"""Every hostile file that we can make goes through one pool, which answers others meanwhile and outlives it."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import xarray as xr

from equifield_service.domain.errors import DomainError
from equifield_service.payload import Limits, PayloadPool, ReadOptions
from equifield_service.routes.problems import status_of
from tests.hostile.hdf5 import FIFO, SECRET
from tests.hostile.kinds import KINDS
from tests.hostile.make import MODULES
from tests.hostile.traps import laid

assert MODULES, "importing them fills the list"

MIB = 2**20
DEADLINE = 3.0
LONGEST = 4 * DEADLINE + 10.0
"""A file may end or hang two processes; then it is refused. The rest is for a busy machine."""
MOST_MEMORY = 1536 * MIB
"""What all payload processes together may come to hold: each has at most 512 MiB beyond the libraries."""


@pytest.fixture(scope="module")
def traps() -> Iterator[None]:
    with laid(Path(FIFO), Path(SECRET)):
        yield


@pytest.fixture(scope="module")
def hostile_pool(opened: Callable[..., AbstractContextManager[PayloadPool]], traps: None) -> Iterator[PayloadPool]:
    with opened(Limits(decoded_bytes=64 * MIB, memory_bytes=512 * MIB), DEADLINE) as pool:
        yield pool


class Memory:
    """The most memory that processes have held at one time, looked at twenty times a second."""

    def __init__(self, pids: Callable[[], list[int]]):
        self._pids, self._over, self.peak = pids, threading.Event(), 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.peak = max(self.peak, sum(map(held, self._pids())))


def held(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@pytest.fixture(scope="module")
def memory(hostile_pool: PayloadPool) -> Iterator[Memory]:
    with Memory(lambda: hostile_pool.pids) as memory:
        yield memory
    assert 0 < memory.peak < MOST_MEMORY


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_answered_as_it_may_be_while_a_good_file_is_read(
    runner: asyncio.Runner,
    hostile_pool: PayloadPool,
    memory: Memory,
    models: Any,
    stress: Any,
    write: Callable[..., bytes],
    wind: xr.Dataset,
    name: str,
) -> None:
    kind = KINDS[name]
    hostile, good = kind.make(), write(wind, "netcdf3")
    model = models.on(stress if "stress" in kind.asked else models.velocity, minimum=4)

    async def answers() -> tuple[int, str]:
        async def ask() -> tuple[int, str]:
            try:
                options = ReadOptions(map=kind.asked)
                await hostile_pool.decode(hostile, model, options, media=None, timeout=LONGEST)
            except DomainError as error:
                return status_of(type(error)), json.dumps(error.to_dict())
            return 200, ""

        asked = asyncio.create_task(ask())
        await asyncio.sleep(0)
        decoded = await hostile_pool.decode(good, models.velocity, ReadOptions(), media=None, timeout=LONGEST)
        assert decoded.array.shape == (3, 16, 12, 2)
        return await asked

    started = time.monotonic()
    status, refusal = runner.run(answers())
    assert time.monotonic() - started < LONGEST
    assert status in kind.answers, refusal
    assert not any(secret in refusal for secret in ("1234.5", "root:", "hostile_"))
    assert not refusal or json.loads(refusal)["detail"].isprintable()


def test_the_list_would_notice_a_wrong_answer() -> None:
    assert len(KINDS) > 100
    assert all(kind.answers <= {200, 400, 413, 415, 422} for kind in KINDS.values())
    assert sum(200 in kind.answers for kind in KINDS.values()) < 30
