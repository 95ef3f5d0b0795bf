"""The scheduler: an idle device takes at once what is there; batches form while it is busy."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from .. import tracing
from ..domain.errors import DeadlineExceeded, DomainError, InflatedTooLarge, ModelUnavailable, WorkerFailed
from ..metrics import Metrics
from .queue import Lane
from .statistics import Statistics
from .work import Array, Batch, BatchKey, NotPrepared, Predicted, Priority, Samples

STOPPED = "The service stopped before this request had its turn. Send it again."
IN_FLIGHT = 2
"""Batches of predictions on the device at one time: while one is computed, the next is copied to it."""
ROLLING = 1
"""Batches of rollouts on the device at one time; predictions take their turns between two steps."""

logger = logging.getLogger(__name__)


class Device(Protocol):
    """Whoever computes."""

    async def predict(self, key: BatchKey, batch: Array, seconds: float) -> Predicted:
        """The answers to some samples; for a rollout `(batch, frames, *grid, features)`.

        After so many seconds nobody waits for them any more.

        Raises:
            NotPrepared: `prepare` comes first.
            DomainError: there is no answer.
        """

    async def prepare(self, key: BatchKey, samples: int) -> None:
        """Loads and compiles what so many samples need, while predictions for others go on."""


class Scheduler:
    """Joins concurrent requests into batches for a device.

    A second batch is handed over while one is computed when it is full; what could still grow waits in the queue. A
    request larger than a batch is split and joined again. One that gave up, or whose deadline has passed, is skipped
    and never disturbs those it would have travelled with; one that makes a batch fail fails alone. While the device
    is prepared for a new grid, requests for others go on. Rollouts, which take long, have a lane of their own, so that
    predictions do not wait until one is over.
    """

    def __init__(
        self, device: Device, metrics: Metrics, statistics: Statistics, *, max_batch: int, max_batch_bytes: int
    ):
        self._device, self._metrics, self._statistics = device, metrics, statistics
        self._max_batch, self.max_batch_bytes = max_batch, max_batch_bytes
        self._predictions, self._rollouts = self._lanes = (Lane(IN_FLIGHT), Lane(ROLLING))
        self.witness: Callable[[BatchKey, Array], None] | None = None
        """Sees the samples of every request that was answered; it must neither keep nor change them."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[Samples] = set()
        self._dispatching = self._stopped = False

    async def stop(self) -> None:
        """Stops at once; whoever still waits is told so."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for lane in self._lanes:
            for work in lane.queue.clear():
                work.fail(ModelUnavailable(STOPPED))

    @property
    def pending(self) -> int:
        """Requests that wait for their answer, in the queue or on the device."""
        return len(self._waiting)

    async def idle(self) -> None:
        """Waits until no request waits for an answer."""
        while self._waiting:
            await asyncio.wait([work.answer for work in self._waiting])
            await asyncio.sleep(0)  # lets those who were answered leave

    def room(self, grid: tuple[int, ...], sample_bytes: int) -> int:
        """How many samples of `sample_bytes` (the larger of in and out) one batch can carry.

        Raises:
            InflatedTooLarge: not even one.
        """
        room = min(self._max_batch, self.max_batch_bytes // max(1, sample_bytes))
        if room == 0:
            raise InflatedTooLarge(
                f"One sample on grid {grid} needs {sample_bytes} bytes; a batch may have "
                f"{self.max_batch_bytes}. Send a smaller grid, or raise EQUIFIELD_ARENA_BYTES."
            )
        return room

    async def submit(
        self,
        key: BatchKey,
        array: Array,
        *,
        sample_bytes: int,
        deadline: float,
        priority: Priority = "interactive",
        alone: bool = False,
    ) -> Array:
        """The model's answer to `array` (batch first); `deadline` is in the event loop's time.

        That of a rollout is `(batch, frames, *grid, features)`. Samples that go alone share no batch with others, so
        that their answer is the same, bit for bit, whatever else is asked for.

        Raises:
            InflatedTooLarge: not even one sample fits into a batch.
            DeadlineExceeded, ModelUnavailable, WorkerFailed: there is no answer.
        """
        loop = asyncio.get_running_loop()
        limit = self.room(key.grid, sample_bytes)
        work = Samples(key, array, limit, priority, deadline, loop.time(), loop.create_future(), alone=alone)
        self._waiting.add(work)
        self._lane(key).queue.add(work)
        self._dispatch_soon()
        try:
            async with asyncio.timeout_at(deadline):
                return await work.answer
        except TimeoutError:
            raise DeadlineExceeded(
                "The deadline passed before the model answered. Send fewer samples, or allow more time with "
                "the header Equifield-Timeout-Ms."
            ) from None
        finally:
            self._waiting.discard(work)
            now = loop.time()
            tracing.past("queue", now - work.arrived, (now if work.began is None else work.began) - work.arrived)
            self._statistics.answered(
                *key.package, samples=len(array), seconds=now - work.arrived, success=work.is_answered
            )

    def _dispatch_soon(self) -> None:
        """Dispatches when all that is arriving now has arrived."""
        if not self._dispatching:
            self._dispatching = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._dispatching = False
        now = asyncio.get_running_loop().time()
        for lane in self._lanes:
            while lane.in_flight < lane.most and not self._stopped:
                batch = lane.queue.take(now, full=lane.in_flight > 0)
                if batch is None:
                    break
                lane.in_flight += 1
                self._do(self._carry(batch, lane))

    def _lane(self, key: BatchKey) -> Lane:
        return self._predictions if key.steps is None else self._rollouts

    async def _carry(self, batch: Batch, lane: Lane) -> None:
        try:
            await self._predict(batch)
        except NotPrepared:
            lane.queue.close(batch.key)
            lane.queue.put_back(batch)
            self._do(self._prepare(batch.key, sum(share.count for share in batch.shares)))
        finally:
            lane.in_flight -= 1
            self._dispatch_soon()

    async def _predict(self, batch: Batch) -> None:
        began = asyncio.get_running_loop().time()
        for share in batch.shares:
            if share.start == 0:
                share.work.began = began
        try:
            array = batch.array
            with tracing.continued("batch", batch.shares[0].work.trace):
                predicted = await self._device.predict(batch.key, array, batch.deadline - began)
            if len(predicted.rows) != len(array):
                raise WorkerFailed(f"The worker answered {len(predicted.rows)} samples to {len(array)}.")
        except NotPrepared:
            raise
        except WorkerFailed as error:
            self._blame(batch, error)
        except BaseException as error:
            self._fail(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._count(batch, predicted, began)
            batch.give(predicted.rows)
            if self.witness is not None:
                for share in batch.shares:
                    self.witness(batch.key, share.array)

    def _count(self, batch: Batch, predicted: Predicted, began: float) -> None:
        queued = [began - share.work.arrived for share in batch.shares if share.start == 0]
        for seconds in queued:
            self._metrics.queue_seconds.observe(seconds)
        self._metrics.batch_samples.observe(len(predicted.rows))
        self._statistics.ran(
            *batch.key.package,
            samples=len(predicted.rows),
            queued=queued,
            compute_input=predicted.input_seconds,
            compute_infer=predicted.device_seconds,
            compute_output=predicted.output_seconds,
        )

    def _blame(self, batch: Batch, error: WorkerFailed) -> None:
        """Lets a request fail that was alone; of several, each goes again by itself, to see whose fault it is."""
        if len(batch.shares) == 1:
            self._fail(batch, error)
            return
        for share in batch.shares:
            share.work.alone = True
        self._lane(batch.key).queue.put_back(batch)

    async def _prepare(self, key: BatchKey, samples: int) -> None:
        queue = self._lane(key).queue
        try:
            await self._device.prepare(key, samples)
        except BaseException as error:
            for work in queue.remove(key):
                work.fail(_as_answer(error))
            if not isinstance(error, Exception):
                raise
        finally:
            queue.open(key)
            self._dispatch_soon()

    def _fail(self, batch: Batch, error: BaseException) -> None:
        for share in batch.shares:
            share.work.fail(_as_answer(error))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _as_answer(error: BaseException) -> DomainError:
    """The error to answer with; a fresh one per request, since several tasks must not raise one object."""
    if isinstance(error, DomainError):
        return type(error)(error.detail, **error.extra)
    if isinstance(error, asyncio.CancelledError):
        return ModelUnavailable(STOPPED)
    logger.error("a batch failed", exc_info=error)
    return WorkerFailed("The computation failed for a reason that is not in the request; the log has it.")
