"""The scheduler in simulated time, on a device that takes as long as the story says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equifield_service.domain.errors import (
    DeadlineExceeded,
    GridUnsupported,
    InflatedTooLarge,
    ModelUnavailable,
    WorkerFailed,
)
from equifield_service.metrics import Metrics
from equifield_service.scheduling import Array, BatchKey, Device, NotPrepared, Predicted, Priority, Scheduler, queue
from equifield_service.scheduling.queue import PATIENCE
from equifield_service.scheduling.statistics import Statistics
from tests.service.scheduling.clock import simulate

KEY = BatchKey("wind", "1", (2, 2), ("periodic", "periodic"))
OTHER = BatchKey("wind", "1", (2, 4), ("periodic", "periodic"))
SAMPLE_BYTES = 16
POISON, BUG = 666.0, 667.0
SECONDS = 1.0
COMPILATION = 100.0


def samples(*values: float) -> Array:
    """One 2x2 sample of a single feature per value, filled with it."""
    return np.stack([np.full((2, 2, 1), value, np.float32) for value in values])


class Doubler:
    """Doubles one batch after the other, a second each; any batch with poison in it fails."""

    def __init__(self, *, cold: tuple[BatchKey, ...] = ()) -> None:
        self.seen: list[tuple[BatchKey, list[float]]] = []
        self.prepared: list[BatchKey] = []
        self.at_one_time = 0
        self._cold, self._here = set(cold), 0
        self._turn = asyncio.Lock()

    async def predict(self, key: BatchKey, batch: Array, seconds: float) -> Predicted:
        """Takes its second, when those before have had theirs."""
        if key in self._cold:
            raise NotPrepared
        values = batch[:, 0, 0, 0].tolist()
        self.seen.append((key, values))
        self._here += 1
        self.at_one_time = max(self.at_one_time, self._here)
        try:
            async with self._turn:
                await asyncio.sleep(SECONDS)
        finally:
            self._here -= 1
        if POISON in values:
            raise WorkerFailed("twice")
        if BUG in values:
            raise RuntimeError("a bug")
        return Predicted(batch * 2)

    async def prepare(self, key: BatchKey, samples: int) -> None:
        """Takes long."""
        self.prepared.append(key)
        await asyncio.sleep(COMPILATION)
        self._cold.discard(key)

    @property
    def sizes(self) -> list[int]:
        """Of the batches it got."""
        return [len(values) for _, values in self.seen]


@asynccontextmanager
async def running(device: Device, *, max_batch: int = 4, max_batch_bytes: int = 2**20) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(device, Metrics(), Statistics(), max_batch=max_batch, max_batch_bytes=max_batch_bytes)
    try:
        yield scheduler
    finally:
        await scheduler.stop()


def now() -> float:
    return asyncio.get_running_loop().time()


def submit(
    scheduler: Scheduler,
    *values: float,
    key: BatchKey = KEY,
    within: float = 1e6,
    priority: Priority = "interactive",
) -> "asyncio.Task[Array]":
    return asyncio.create_task(
        scheduler.submit(key, samples(*values), sample_bytes=SAMPLE_BYTES, deadline=now() + within, priority=priority)
    )


def first(answer: Array) -> float:
    return float(answer[0, 0, 0, 0])


Story = Callable[[], Coroutine[Any, Any, None]]


def told(story: Story) -> Callable[[], None]:
    """A test that runs a story in simulated time."""

    def test() -> None:
        simulate(story())

    test.__name__ = story.__name__
    return test


@told
async def test_a_lone_request_waits_for_nobody() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        np.testing.assert_array_equal(await submit(scheduler, 3.0), samples(6.0))
    assert now() == SECONDS
    assert device.sizes == [1]


@told
async def test_requests_that_arrive_together_share_a_batch() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        answers = await asyncio.gather(*(submit(scheduler, float(value)) for value in range(4)))
    assert [first(answer) for answer in answers] == [0, 2, 4, 6]
    assert device.sizes == [4] and now() == SECONDS


@told
async def test_requests_that_arrive_while_the_device_is_busy_share_a_batch() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        tasks = [submit(scheduler, 0.0)]
        for value in range(1, 4):
            await asyncio.sleep(SECONDS / 8)
            tasks.append(submit(scheduler, float(value)))
        await asyncio.gather(*tasks)
    assert device.sizes == [1, 3]


@told
async def test_a_full_batch_is_on_the_device_before_the_one_before_it_is_done_and_never_a_third() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        await asyncio.gather(*(submit(scheduler, *map(float, range(4))) for _ in range(5)))
    assert device.sizes == [4] * 5 and device.at_one_time == 2
    assert now() == 5 * SECONDS


@told
async def test_predictions_do_not_wait_for_rollouts_which_go_one_after_the_other() -> None:
    device = Doubler()
    rollout = replace(KEY, steps=10, every=5)
    async with running(device) as scheduler:
        rollouts = [submit(scheduler, 1.0, key=rollout), submit(scheduler, 2.0, key=replace(rollout, steps=20))]
        await asyncio.sleep(SECONDS / 8)
        prediction = submit(scheduler, 3.0)
        await asyncio.sleep(SECONDS / 8)
        assert [key.steps for key, _ in device.seen] == [10, None], "control: the second rollout waits"
        assert [first(answer) for answer in await asyncio.gather(*rollouts, prediction)] == [2, 4, 6]


@told
async def test_rollouts_share_a_batch_when_they_are_alike() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        keys = [replace(KEY, steps=steps, every=every) for steps, every in ((10, 5), (10, 5), (10, 1), (5, 5))]
        await asyncio.gather(*(submit(scheduler, 1.0, key=key) for key in keys))
    assert device.sizes == [2, 1, 1]


@told
async def test_every_concurrent_request_gets_its_own_answer() -> None:
    device, rng = Doubler(), np.random.default_rng(0)
    async with running(device) as scheduler:
        tasks = []
        for index in range(50):
            values = [float(index * 100 + sample) for sample in range(rng.integers(1, 11))]
            tasks.append((values, submit(scheduler, *values, key=(KEY, OTHER)[index % 2])))
            await asyncio.sleep(float(rng.uniform(0, SECONDS)))
        for values, task in tasks:
            np.testing.assert_array_equal(await task, samples(*values) * 2)
    assert max(device.sizes) == 4


@told
async def test_a_request_larger_than_a_batch_is_split_and_joined_in_order() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        values = [float(value) for value in range(11)]
        np.testing.assert_array_equal(await submit(scheduler, *values), samples(*values) * 2)
    assert device.sizes == [4, 4, 3]


@told
async def test_samples_of_different_grids_never_share_a_batch() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        blocker = submit(scheduler, 0.0)
        await asyncio.sleep(SECONDS / 2)
        tasks = [submit(scheduler, 1.0), submit(scheduler, 2.0, key=OTHER), submit(scheduler, 3.0)]
        await asyncio.gather(blocker, *tasks)
    assert device.seen == [(KEY, [0.0]), (KEY, [1.0, 3.0]), (OTHER, [2.0])]


@told
async def test_a_batch_never_holds_more_bytes_than_the_shared_memory() -> None:
    device = Doubler()
    async with running(device, max_batch_bytes=2 * SAMPLE_BYTES) as scheduler:
        await submit(scheduler, 1.0, 2.0, 3.0)
    assert device.sizes == [2, 1]


@told
async def test_a_sample_larger_than_the_shared_memory_is_refused_with_both_sizes() -> None:
    async with running(Doubler(), max_batch_bytes=SAMPLE_BYTES - 1) as scheduler:
        with pytest.raises(InflatedTooLarge, match="needs 16 bytes; a batch may have 15"):
            await submit(scheduler, 1.0)


@told
async def test_a_cancelled_request_is_skipped_and_its_neighbours_are_answered() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        blocker = submit(scheduler, 0.0)
        await asyncio.sleep(SECONDS / 2)
        one, gone, two = (submit(scheduler, value) for value in (1.0, 2.0, 3.0))
        await asyncio.sleep(SECONDS / 4)
        gone.cancel()
        answers = await asyncio.gather(blocker, one, two)
    assert [first(answer) for answer in answers] == [0, 2, 6]
    assert device.seen[1] == (KEY, [1.0, 3.0])


@told
async def test_a_request_cancelled_in_the_middle_of_a_batch_does_not_hurt_its_batch_mates() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        gone, mate = submit(scheduler, 1.0), submit(scheduler, 2.0)
        await asyncio.sleep(SECONDS / 2)
        gone.cancel()
        np.testing.assert_array_equal(await mate, samples(4.0))
        np.testing.assert_array_equal(await submit(scheduler, 5.0), samples(10.0))
        assert scheduler.pending == 0
    assert device.sizes == [2, 1]


@told
async def test_a_request_whose_deadline_passes_in_the_queue_never_reaches_the_device() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        blocker = submit(scheduler, 1.0)
        await asyncio.sleep(SECONDS / 2)
        late = submit(scheduler, 2.0, within=SECONDS / 4)
        with pytest.raises(DeadlineExceeded, match="Equifield-Timeout-Ms"):
            await late
        assert now() == 0.75 * SECONDS
        await blocker
        await submit(scheduler, 3.0)
    assert device.seen == [(KEY, [1.0]), (KEY, [3.0])]


@told
async def test_of_a_batch_that_fails_only_the_request_at_fault_fails() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        tasks = [submit(scheduler, value) for value in (1.0, POISON, 3.0)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[1], WorkerFailed)
        assert [first(answer) for answer in answers if isinstance(answer, np.ndarray)] == [2, 6]
        np.testing.assert_array_equal(await submit(scheduler, 4.0), samples(8.0))
    assert [values for _, values in device.seen] == [[1.0, POISON, 3.0], [1.0], [POISON], [3.0], [4.0]]


@told
async def test_an_unforeseen_error_answers_every_request_with_an_error_of_its_own() -> None:
    async with running(Doubler()) as scheduler:
        failed = await asyncio.gather(submit(scheduler, BUG), submit(scheduler, 2.0), return_exceptions=True)
        assert [type(one) for one in failed] == [WorkerFailed, WorkerFailed] and failed[0] is not failed[1]
        np.testing.assert_array_equal(await submit(scheduler, 3.0), samples(6.0))


@told
async def test_a_device_that_answers_too_few_samples_is_not_believed() -> None:
    class Short(Doubler):
        async def predict(self, key: BatchKey, batch: Array, seconds: float) -> Predicted:
            return Predicted(batch[1:])

    async with running(Short()) as scheduler:
        with pytest.raises(WorkerFailed, match="1 samples to 2"):
            await submit(scheduler, 1.0, 2.0)


@told
async def test_requests_for_compiled_grids_go_on_while_another_grid_is_compiled() -> None:
    device = Doubler(cold=(OTHER,))
    async with running(device) as scheduler:
        new = submit(scheduler, 1.0, key=OTHER)
        for value in range(10):
            began = now()
            np.testing.assert_array_equal(await submit(scheduler, float(value)), samples(2.0 * value))
            assert now() - began == SECONDS
        more = submit(scheduler, 2.0, key=OTHER)
        np.testing.assert_array_equal(await new, samples(2.0))
        np.testing.assert_array_equal(await more, samples(4.0))
    assert device.prepared == [OTHER]
    assert device.seen[-1] == (OTHER, [1.0, 2.0])


@told
async def test_a_request_whose_deadline_passes_while_its_grid_is_compiled_is_answered_in_time() -> None:
    async with running(Doubler(cold=(OTHER,))) as scheduler:
        with pytest.raises(DeadlineExceeded):
            await submit(scheduler, 1.0, key=OTHER, within=COMPILATION / 2)
        assert now() == COMPILATION / 2
        np.testing.assert_array_equal(await submit(scheduler, 2.0, key=OTHER), samples(4.0))


@told
async def test_a_grid_that_cannot_be_prepared_fails_those_who_wait_for_it_and_nobody_else() -> None:
    class Refusing(Doubler):
        async def prepare(self, key: BatchKey, samples: int) -> None:
            raise GridUnsupported("too small")

    async with running(Refusing(cold=(OTHER,))) as scheduler:
        answers = await asyncio.gather(
            submit(scheduler, 1.0, key=OTHER),
            submit(scheduler, 2.0, key=OTHER),
            submit(scheduler, 3.0),
            return_exceptions=True,
        )
    assert [type(answer) for answer in answers] == [GridUnsupported, GridUnsupported, np.ndarray]


@told
async def test_interactive_requests_overtake_batch_work_and_fill_up_their_batches_with_it() -> None:
    device = Doubler()
    async with running(device) as scheduler:
        blocker = submit(scheduler, 0.0)
        await asyncio.sleep(SECONDS / 2)
        work = submit(scheduler, 10.0, 11.0, 12.0, priority="batch")
        await asyncio.sleep(SECONDS / 8)
        quick = [submit(scheduler, 1.0), submit(scheduler, 2.0)]
        await asyncio.gather(blocker, work, *quick)
    assert [values for _, values in device.seen] == [[0.0], [1.0, 2.0, 10.0, 11.0], [12.0]]


async def _flood(scheduler: Scheduler) -> None:
    while True:
        await submit(scheduler, 1.0, 2.0)


async def _wait_in_a_flood(key: BatchKey, priority: Priority) -> float:
    """Seconds that one sample waits while eight clients keep the device busy with full batches of `KEY`."""
    async with running(Doubler()) as scheduler:
        flood = [asyncio.create_task(_flood(scheduler)) for _ in range(8)]
        await asyncio.sleep(3.5 * SECONDS)
        began = now()
        await submit(scheduler, 10.0, key=key, priority=priority, within=1000 * SECONDS)
        waited = now() - began
        for task in flood:
            task.cancel()
        await asyncio.wait(flood)
    return waited


@told
async def test_a_lone_sample_of_another_grid_is_not_overtaken_by_those_who_come_after_it() -> None:
    assert await _wait_in_a_flood(OTHER, "interactive") <= 5 * SECONDS


@told
async def test_batch_work_waits_for_a_bounded_number_of_interactive_batches_however_many_come() -> None:
    assert PATIENCE * SECONDS <= await _wait_in_a_flood(OTHER, "batch") <= (PATIENCE + 4) * SECONDS


def test_without_patience_batch_work_would_starve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "PATIENCE", 10**9)

    async def story() -> None:
        with pytest.raises(DeadlineExceeded):
            await _wait_in_a_flood(OTHER, "batch")

    simulate(story())


@told
async def test_stopping_with_a_full_queue_tells_everyone_that_waits() -> None:
    scheduler = Scheduler(Doubler(), Metrics(), Statistics(), max_batch=1, max_batch_bytes=2**20)
    waiting = [submit(scheduler, float(value)) for value in range(50)]
    await asyncio.sleep(2.5 * SECONDS)
    await scheduler.stop()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [np.ndarray] * 2 + [ModelUnavailable] * 48
    assert scheduler.pending == 0
