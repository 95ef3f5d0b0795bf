"""Works on jobs: takes the next one, holds its lease while it computes, and says how it ended."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import TypeVar

from ...metrics import Metrics
from ...scheduling import Scheduler
from ..asking import Ask
from ..errors import (
    DeadlineExceeded,
    DomainError,
    LedgerUnavailable,
    ModelUnavailable,
    PayloadProcessFailed,
    SpoolFailed,
    SpoolFull,
    UnknownModel,
    UnknownVersion,
    WorkerFailed,
)
from ..registry import Registry
from .assignment import Assignment
from .job import Failure, Job, LeaseLost, new_id
from .ledger import Ledger
from .news import News
from .opening import PATIENCE_S, Opened, Opening
from .rolling import Rolling
from .spool import Spool, file_of
from .tray import Tray

T = TypeVar("T")
logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""So often an idle runner looks for jobs that other gateways accepted, or lost."""
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds before what failed is tried again."""
STORAGE = (LedgerUnavailable, SpoolFailed, SpoolFull)
BACK = (*STORAGE, ModelUnavailable, UnknownModel, UnknownVersion)
"""Whatever becomes of these, the job is not to blame: it goes back to the queue."""
TRIES: dict[type[DomainError], int] = {
    DeadlineExceeded: 2,
    ModelUnavailable: 3,
    PayloadProcessFailed: 3,
    WorkerFailed: 3,
    **{kind: len(PAUSES) for kind in STORAGE},
}
"""How often in a row each of these may come before it counts. Any other error is the job's own, and final."""


class Runner:
    """Some jobs at one time, as long as the service runs.

    Args:
        at_once: How many.
        lease_s: For so many seconds a job is held before it is renewed; when this gateway dies, others wait so long.
    """

    def __init__(
        self,
        registry: Registry,
        opening: Opening,
        scheduler: Scheduler,
        ledger: Ledger,
        spool: Spool,
        tray: Tray,
        news: News,
        metrics: Metrics,
        *,
        at_once: int,
        lease_s: float,
    ):
        self._registry, self._opening, self._scheduler = registry, opening, scheduler
        self._ledger, self._spool, self._tray, self._news, self._metrics = ledger, spool, tray, news, metrics
        self._at_once, self._lease_s = at_once, lease_s
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{new_id()[:8]}"
        self._woken = asyncio.Event()
        self._taking: asyncio.Task[None] | None = None
        self._holding: set[asyncio.Task[None]] = set()
        self._at: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begins."""
        self._taking = asyncio.create_task(self._take(), name="runner of jobs")

    async def stop(self) -> None:
        """Gives back what it is at, and ends."""
        if self._taking is not None:
            await _stop(self._taking)
        if self._holding:
            await _stop(*self._holding)

    def wake(self) -> None:
        """There is a new job, or a place for one."""
        self._woken.set()

    def drop(self, id: str) -> None:
        """A job was dismissed."""
        task = self._at.get(id)
        if task is not None:
            task.cancel()

    async def _take(self) -> None:
        """Takes as many jobs as there are, and places for them."""
        while True:
            self._woken.clear()
            free = self._at_once - len(self._holding)
            for job in await self._claimed(free) if free else []:
                holding = asyncio.create_task(self._hold(job), name=f"holder of job {job.id}")
                self._holding.add(holding)
                holding.add_done_callback(self._leave)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._woken.wait()

    def _leave(self, holding: asyncio.Task[None]) -> None:
        self._holding.discard(holding)
        self.wake()

    async def _claimed(self, most: int) -> list[Job]:
        """The next jobs; those that come when this gateway is told to stop go back."""
        claiming = asyncio.ensure_future(self._ledger.claim(self._holder, self._lease_s, self._served(), most=most))
        try:
            return await asyncio.shield(claiming)
        except Exception as error:  # whatever it is, it must not be the last claim
            logger.warning("no job can be claimed: %r", error)
            return []
        except asyncio.CancelledError:
            with suppress(DomainError):
                for job in await claiming:
                    await self._give_back(job)
            raise

    def _served(self) -> list[tuple[str, str]]:
        ready = [entry.package for entry in self._registry.entries() if entry.state == "ready"]
        return [(package.model, package.version) for package in ready]

    async def _hold(self, job: Job) -> None:
        """Does a job, as long as it is ours."""
        logger.info("job %s of %s/%s begins, attempt %d", job.id, job.order.model, job.order.version, job.attempts)
        self._news.tell(job)
        doing = self._at[job.id] = asyncio.create_task(self._do(job), name=f"job {job.id}")
        renewing = asyncio.create_task(self._renew(job), name=f"lease of job {job.id}")
        try:
            await asyncio.wait((doing, renewing), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _stop(doing, renewing)
            await self._give_back(job)
            raise
        finally:
            await _stop(doing, renewing)
            self._at.pop(job.id, None)

    async def _renew(self, job: Job) -> None:
        """Renews the lease until the job is lost."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._ledger.renew(job, self._lease_s)
            except LeaseLost as lost:
                logger.warning("%s", lost)
                self._news.tell(lost.job)
                return
            except DomainError as error:
                logger.warning("the lease of job %s cannot be renewed: %s", job.id, error)

    async def _do(self, job: Job) -> None:
        try:
            ended = await self._ended(job)
            self._news.tell(ended)
            self._metrics.jobs_ended.labels(ended.status).inc()
            logger.info("job %s is %s: %s", ended.id, ended.status, ended.message or "well")
            await self._clear(ended)
        except LeaseLost as lost:
            logger.warning("%s", lost)
            self._news.tell(lost.job)
        except BACK as error:
            logger.error("job %s goes back to the queue: %s", job.id, error)
            await self._give_back(job)

    async def _ended(self, job: Job) -> Job:
        """The job once it has ended, well or badly."""
        try:
            return await self._compute(job)
        except BACK:
            raise
        except DomainError as error:
            failure = Failure(error.code, error.detail)
        except Exception:
            logger.exception("job %s met an unforeseen error", job.id)
            failure = Failure("internal_error", "The service made a mistake. Its log has it under the id of this job.")
        return await self._patiently(lambda: self._ledger.fail(job, failure))

    async def _compute(self, job: Job) -> Job:
        assignment = Assignment.from_json(job.order.parameters)
        opened = await self._patiently(lambda: self._open(job, assignment))
        if assignment.steps is None:
            return await self._patiently(lambda: self._predict(job, opened))
        rolling = Rolling(
            job, opened, self._opening, self._scheduler, self._ledger, self._spool, self._news, self._lease_s
        )
        with closing(rolling):
            await self._patiently(rolling.begin)
            while not rolling.is_over:
                step = rolling.step
                await self._patiently(rolling.advance)
                self._metrics.job_steps.inc(rolling.step - step)
            return await self._patiently(rolling.end)

    async def _open(self, job: Job, assignment: Assignment) -> Opened:
        self._registry.serving(job.order.model, job.order.version)
        there = self._tray.take(job)
        if there is not None:
            return there
        body = await asyncio.to_thread(self._spool.load, job.order.input)
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        ask = Ask(job.order.model, job.order.version, deadline)
        return await self._opening.open(ask, body, assignment, job.created)

    async def _predict(self, job: Job, opened: Opened) -> Job:
        """One prediction, whose result is written whole."""
        states = await opened.computed(self._scheduler, opened.array)
        file = await self._opening.write(opened, states, PATIENCE_S, None)
        name = file_of(job.id, "result", job.attempts)
        piece = await asyncio.to_thread(self._spool.put, name, [file])
        return await self._ledger.finish(job, piece)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of some work, tried again after what may pass.

        Raises:
            DomainError: what does not pass, or has not passed.
        """
        tries = 0
        while True:
            try:
                return await work()
            except DomainError as error:
                if tries >= TRIES.get(type(error), 0):
                    raise
                logger.warning("tried again in %g s: %s", PAUSES[tries], error)
            await asyncio.sleep(PAUSES[tries])
            tries += 1

    async def _clear(self, ended: Job) -> None:
        """Removes what nobody needs once a job has ended."""
        made = ended.checkpoint
        if made is not None:
            kept = None if ended.result is None else ended.result.name
            with suppress(SpoolFailed):  # what stays goes when the job expires
                await asyncio.to_thread(self._spool.remove, {made.name, made.result} - {kept})

    async def _give_back(self, job: Job) -> None:
        """Lets another take a job; if the ledger is away, the lease runs out by itself."""
        try:
            self._news.tell(await self._ledger.release(job))
        except (LeaseLost, DomainError) as error:
            logger.warning("job %s is not given back: %s", job.id, error)


async def _stop(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            logger.error("work on a job ended with an error", exc_info=task.exception())
