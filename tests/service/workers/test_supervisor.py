"""The supervisor, with real processes that die in its hands."""

import asyncio
import functools
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equifield_service.domain.errors import InflatedTooLarge, ModelUnavailable, WorkerFailed
from equifield_service.domain.registry import PackageRef
from equifield_service.metrics import Metrics
from equifield_service.scheduling import Array, BatchKey, NotPrepared
from equifield_service.workers.options import WorkerOptions
from equifield_service.workers.supervisor import Supervisor, WorkerLimits
from tests.service import children

KEY = BatchKey("good", "1", (2, 2), ("periodic", "periodic"))
ARENA = 2**16


class Listener:
    """Remembers what became of each package, and says when all are settled."""

    def __init__(self, count: int) -> None:
        self.outcome: dict[str, str] = {}
        self.settled = asyncio.Event()
        self._count = count

    def loaded(self, package: PackageRef, reply: Mapping[str, Any]) -> None:
        self._note(package, f"loaded {reply['certificate']['of']}")

    def failed(self, package: PackageRef, reason: str) -> None:
        self._note(package, reason)

    def _note(self, package: PackageRef, outcome: str) -> None:
        self.outcome[package.model] = outcome
        if len(self.outcome) == self._count:
            self.settled.set()


@asynccontextmanager
async def running(
    flags: Path, *models: str, batch_timeout: float = 60, target: Callable[..., None] | None = None
) -> AsyncIterator[tuple[Supervisor, Listener]]:
    listener = Listener(len(models))
    supervisor = Supervisor(
        WorkerOptions(max_batch=4, max_compiled_grids=2),
        WorkerLimits(ARENA, start_timeout=60, call_timeout=60, batch_timeout=batch_timeout),
        listener,
        Metrics(),
        target=target or functools.partial(children.worker, flags),
    )
    supervisor.start([PackageRef(model, "1", Path(model)) for model in models])
    try:
        async with asyncio.timeout(120):
            await listener.settled.wait()
        yield supervisor, listener
    finally:
        await supervisor.stop()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def batch(value: float) -> Array:
    return np.full((1, 2, 2, 1), value, np.float32)


async def doubled(supervisor: Supervisor, value: float) -> Array:
    return (await supervisor.predict(KEY, batch(value), 60)).rows


def test_every_package_is_loaded_or_refused_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good", "refused", "better") as (supervisor, listener):
            assert listener.outcome == {
                "good": "loaded good",
                "refused": "its hash is wrong",
                "better": "loaded better",
            }
            np.testing.assert_array_equal(await doubled(supervisor, 1), batch(2))
            report, _ = await supervisor.check(KEY, None, 7)
            assert report == {"grid": [2, 2], "seed": 7}

    run(story)


def test_a_package_that_kills_the_worker_twice_is_left_out(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good", "deadly") as (supervisor, listener):
            assert listener.outcome["deadly"] == "Loading it ended the worker process twice."
            assert listener.outcome["good"] == "loaded good"
            np.testing.assert_array_equal(await doubled(supervisor, 1), batch(2))

    run(story)


def test_a_package_whose_loading_was_killed_twice_from_outside_is_loaded_the_next_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "fragile") as (_, listener):
            assert listener.outcome == {"fragile": "loaded fragile"}

    run(story)


def test_a_batch_in_a_worker_that_is_killed_is_answered_by_the_next_worker(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good") as (supervisor, _):
            first = supervisor.pid
            np.testing.assert_array_equal(await doubled(supervisor, 13), batch(26))
            assert supervisor.pid not in (None, first)

    run(story)


def test_a_batch_that_kills_two_workers_fails_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good") as (supervisor, _):
            with pytest.raises(WorkerFailed, match="twice"):
                await supervisor.predict(KEY, batch(666), 60)
            np.testing.assert_array_equal(await doubled(supervisor, 1), batch(2))

    run(story)


def test_the_death_of_an_idle_worker_is_repaired_before_the_next_request_fails(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good") as (supervisor, _):
            victim = supervisor.pid
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            np.testing.assert_array_equal(await doubled(supervisor, 1), batch(2))
            assert supervisor.pid != victim

    run(story)


def test_a_batch_that_takes_too_long_fails_and_the_worker_is_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good", batch_timeout=1) as (supervisor, _):
            with pytest.raises(WorkerFailed, match=r"longer than 1 s"):
                await supervisor.predict(KEY, batch(99), 60)
            np.testing.assert_array_equal(await doubled(supervisor, 1), batch(2))

    run(story)


def test_a_batch_larger_than_the_shared_memory_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good") as (supervisor, _):
            with pytest.raises(InflatedTooLarge):
                await supervisor.predict(KEY, np.zeros((1, ARENA, 1, 1), np.float32), 60)

    run(story)


def test_a_worker_that_does_not_start_is_the_reason_why_no_model_is_served(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good", target=children.never_starts) as (supervisor, listener):
            assert "does not start" in listener.outcome["good"]
            assert supervisor.pid is None

    run(story)


def test_what_is_not_prepared_is_said_and_can_be_predicted_after_that(tmp_path: Path) -> None:
    other = BatchKey("good", "1", (2, 4), ("periodic", "periodic"))

    async def story() -> None:
        async with running(tmp_path, "good") as (supervisor, _):
            with pytest.raises(NotPrepared):
                await supervisor.predict(other, np.ones((1, 2, 4, 1), np.float32), 60)
            await supervisor.prepare(other, 1)
            answer = await supervisor.predict(other, np.ones((1, 2, 4, 1), np.float32), 60)
            np.testing.assert_array_equal(answer.rows, np.full((1, 2, 4, 1), 2, np.float32))

    run(story)


def test_a_package_is_loaded_beside_the_others_and_unloaded_again(tmp_path: Path) -> None:
    newer = BatchKey("newer", "1", (2, 2), ("periodic", "periodic"))

    async def story() -> None:
        async with running(tmp_path, "good") as (supervisor, listener):
            await supervisor.load(PackageRef("newer", "1", Path("newer")))
            await supervisor.load(PackageRef("refused", "1", Path("refused")))
            assert listener.outcome["newer"] == "loaded newer" and listener.outcome["refused"] == "its hash is wrong"
            np.testing.assert_array_equal((await supervisor.predict(newer, batch(1), 60)).rows, batch(2))
            await supervisor.unload(PackageRef("newer", "1", Path("newer")))
            with pytest.raises(ModelUnavailable, match="not served any more"):
                await supervisor.predict(newer, batch(1), 60)
            np.testing.assert_array_equal(await doubled(supervisor, 1), batch(2))

    run(story)


def test_a_package_that_kills_the_worker_while_others_are_served_is_left_out(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, "good") as (supervisor, listener):
            await supervisor.load(PackageRef("deadly", "1", Path("deadly")))
            assert "ended the worker process twice" in listener.outcome["deadly"]
            np.testing.assert_array_equal(await doubled(supervisor, 1), batch(2))

    run(story)


def test_stopping_ends_the_process_and_frees_its_memory(tmp_path: Path, shared_memory: Callable[[], set[Path]]) -> None:
    seen: list[int] = []

    async def story() -> None:
        async with running(tmp_path, "good") as (supervisor, _):
            assert supervisor.pid is not None
            seen.append(supervisor.pid)

    run(story)
    assert not Path(f"/proc/{seen[0]}").exists()
    assert not shared_memory()
