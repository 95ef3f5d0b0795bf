"""A pool of payload processes survives them, and so do the requests."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from equifield_service.domain.errors import (
    DeadlineExceeded,
    InflatedTooLarge,
    MalformedFile,
    PayloadProcessFailed,
    PayloadTooLarge,
)
from equifield_service.payload import Decoded, Kind, Limits, PayloadPool, ReadOptions, WriteOptions

Test = Callable[[PayloadPool], Coroutine[Any, Any, None]]


@pytest.fixture
def decode(models: Any, write: Callable[..., bytes], wind: xr.Dataset) -> Callable[..., Coroutine[Any, Any, Decoded]]:
    """Decodes a good file in a pool."""
    body = write(wind, "netcdf3")

    def decode(pool: PayloadPool, timeout: float = 30.0) -> Coroutine[Any, Any, Decoded]:
        return pool.decode(body, models.velocity, ReadOptions(), media=None, timeout=timeout)

    return decode


def run(runner: asyncio.Runner, test: Test, **options: Any) -> None:
    """Runs a test in a pool of its own."""

    async def inside() -> None:
        arguments: dict[str, Any] = {"processes": 1, "arena_bytes": 2**20} | options
        async with PayloadPool(**arguments) as pool:
            await test(pool)

    runner.run(inside())


async def started(work: Coroutine[Any, Any, Decoded]) -> asyncio.Task[Decoded]:
    """A request that some process has got: it runs until it waits for the answer."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


@asynccontextmanager
async def stopped(pool: PayloadPool) -> AsyncIterator[list[int]]:
    """Payload processes that hang: they are stopped, so they neither answer nor end."""
    pids = pool.pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield pids


def test_a_killed_process_costs_no_request(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool) as pids:
            request = await started(decode(pool))
            os.kill(pids[0], signal.SIGKILL)
            assert (await request).array.shape == (3, 16, 12, 2)
        assert pool.pids != pids

    run(runner, test)


async def end_each(pool: PayloadPool, pids: list[int], *signals: int) -> None:
    """Ends stopped processes one after another, each when the request of the one before has come to it."""
    for pid in pids:
        for number in signals:
            os.kill(pid, number)
        while pid in pool.pids:
            await asyncio.sleep(0)


def test_processes_killed_from_outside_are_not_held_against_the_file(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool) as pids:
            request = await started(decode(pool))
            await end_each(pool, pids, signal.SIGKILL)
            assert (await request).array.shape == (3, 16, 12, 2)
        assert not set(pids) & set(pool.pids)

    run(runner, test, processes=3)


def test_a_file_that_ends_two_processes_by_itself_is_refused(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool) as pids:
            request = await started(decode(pool))
            await end_each(pool, pids, signal.SIGSEGV, signal.SIGCONT)
            with pytest.raises(MalformedFile, match="ended 2 processes"):
                await request
        await decode(pool)

    run(runner, test, processes=2)


def test_a_request_whose_processes_are_killed_for_ever_is_given_up(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool) as pids:
            request = await started(decode(pool))
            await end_each(pool, pids, signal.SIGKILL)
            with pytest.raises(PayloadProcessFailed, match="10 processes that had the file were killed"):
                await request
        await decode(pool)

    run(runner, test, processes=10)


@pytest.mark.parametrize("kind", ["netcdf3", "netcdf4", "json"])
def test_a_directory_of_the_path_that_changes_is_no_ones_affair(
    runner: asyncio.Runner,
    models: Any,
    write: Callable[..., bytes],
    wind: xr.Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    body = write(wind)

    async def test(pool: PayloadPool) -> None:
        (tmp_path / "file").touch()
        decoded = await pool.decode(body, models.velocity, ReadOptions(), media=None, timeout=30.0)
        assert await pool.encode(
            models.velocity, decoded.frame, decoded.array, options=WriteOptions(kind), attributes={}, timeout=30.0
        )

    run(runner, test)


def test_a_process_that_died_idle_costs_no_request(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        os.kill(pool.pids[0], signal.SIGKILL)
        assert (await decode(pool)).array.shape == (3, 16, 12, 2)

    run(runner, test)


def test_neighbours_of_a_killed_process_are_unharmed(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        requests = [await started(decode(pool)) for _ in range(8)]
        os.kill(pool.pids[0], signal.SIGKILL)
        arrays = [decoded.array for decoded in await asyncio.gather(*requests)]
        assert all(np.array_equal(array, arrays[0]) for array in arrays)

    run(runner, test, processes=2)


def test_a_file_that_keeps_two_processes_too_long_is_refused_and_they_are_replaced(
    runner: asyncio.Runner, decode: Any
) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool) as pids:
            with pytest.raises(MalformedFile, match=r"kept them for more than 1 s"):
                await decode(pool)
        await decode(pool)
        assert set(pool.pids).isdisjoint(pids)

    run(runner, test, timeout=1.0, processes=2)


def test_a_process_that_hangs_is_replaced_and_the_file_it_had_is_read_by_another(
    runner: asyncio.Runner, decode: Any
) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool) as pids:
            await decode(pool)
        assert pool.pids != pids
        assert pool.alive == 1

    run(runner, test, timeout=5.0)


def test_a_request_whose_time_is_over_is_told_so(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool):
            with pytest.raises(DeadlineExceeded):
                await decode(pool, timeout=0.1)
        await decode(pool)

    run(runner, test)


def test_a_request_that_finds_no_idle_process_waits_until_its_deadline(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool) as pids:
            first = await started(decode(pool))
            with pytest.raises(DeadlineExceeded):
                await decode(pool, timeout=0.1)
            os.kill(pids[0], signal.SIGCONT)
            await first

    run(runner, test)


def test_a_killed_parent_is_replaced_by_another_clean_one(
    runner: asyncio.Runner, decode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "the-secret")

    async def test(pool: PayloadPool) -> None:
        for pid in (parent(pool.pids[0]), pool.pids[0]):
            os.kill(pid, signal.SIGKILL)
        assert (await decode(pool)).array.shape == (3, 16, 12, 2)
        for pid in (pool.pids[0], parent(pool.pids[0])):
            assert b"the-secret" not in Path(f"/proc/{pid}/environ").read_bytes()

    run(runner, test)


def parent(pid: int) -> int:
    """The process that started another."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))


def test_a_cancelled_request_leaves_its_answer_to_nobody(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        request = await started(decode(pool))
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert (await decode(pool)).array.shape == (3, 16, 12, 2)

    run(runner, test)


def test_closing_waits_for_every_process_also_for_those_that_requests_give_up_meanwhile(
    runner: asyncio.Runner, decode: Any, shared_memory: Callable[[], set[Path]]
) -> None:
    async def test(pool: PayloadPool) -> None:
        async with stopped(pool) as pids:
            before = asyncio.all_tasks()
            requests = {await started(decode(pool)) for _ in pids}
            requests.pop().cancel()
            await pool.close()
            assert asyncio.all_tasks() - before == requests and len(requests) == 2
            assert not shared_memory() and not pool.pids
            for request in requests:
                request.cancel()
            await asyncio.wait(requests)

    for _ in range(10):  # what is not waited for is mostly over by chance
        run(runner, test, processes=3)


def test_a_start_that_is_cancelled_leaves_nothing_behind(
    runner: asyncio.Runner, shared_memory: Callable[[], set[Path]]
) -> None:
    async def test(pool: PayloadPool) -> None:
        before, held = asyncio.all_tasks(), shared_memory()
        other = PayloadPool(2, 2**20)
        start = asyncio.create_task(other.start())
        while not shared_memory() > held:
            await asyncio.sleep(0)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert asyncio.all_tasks() == before and shared_memory() == held

    run(runner, test)


def test_processes_are_replaced_after_a_number_of_files(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        before = pool.pids
        await decode(pool)
        assert pool.pids == before
        await decode(pool)
        await decode(pool)
        assert pool.pids != before

    run(runner, test, limits=Limits(files_per_process=2))


def test_a_process_that_met_a_damaged_file_serves_no_other(
    runner: asyncio.Runner, decode: Any, models: Any, write: Callable[..., bytes], wind: xr.Dataset
) -> None:
    async def test(pool: PayloadPool) -> None:
        before, body = pool.pids, write(wind)
        with pytest.raises(MalformedFile):
            await pool.decode(body[: len(body) // 3], models.velocity, ReadOptions(), media=None, timeout=30.0)
        await decode(pool)
        assert pool.pids != before

    run(runner, test)


def test_bodies_beyond_the_arena_are_refused(runner: asyncio.Runner, decode: Any) -> None:
    async def test(pool: PayloadPool) -> None:
        with pytest.raises(PayloadTooLarge, match="4096 bytes"):
            await decode(pool)
        assert pool.alive == 1

    run(runner, test, arena_bytes=4096)


def test_answers_beyond_the_arena_are_refused(runner: asyncio.Runner, models: Any, write: Callable[..., bytes]) -> None:
    values = np.zeros((64, 64), np.int8)
    small = write(xr.Dataset({"u": (("y", "x"), values), "v": (("y", "x"), values)}), "netcdf3")

    async def test(pool: PayloadPool) -> None:
        with pytest.raises(InflatedTooLarge, match="more than 16384"):
            await pool.decode(small, models.velocity, ReadOptions(), media=None, timeout=30.0)

    run(runner, test, arena_bytes=16384)


def test_predictions_of_the_wrong_shape_are_a_programming_error(pool: Any, models: Any, write: Any, wind: Any) -> None:
    body = write(wind)
    decoded = pool.decode(body, models.velocity)
    with pytest.raises(ValueError, match=r"float32 prediction of shape \(3, 16, 12, 2\)"):
        pool.encode(models.velocity, decoded, decoded.array[:1])


@pytest.mark.parametrize("arguments", [(0, 4096), (1, 4096, None, 0.0)], ids=["no process", "no time"])
def test_impossible_pools_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="at least one process and a positive timeout"):
        PayloadPool(*arguments)
