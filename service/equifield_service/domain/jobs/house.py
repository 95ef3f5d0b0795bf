"""Everything about jobs in one gateway, put together."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from ...metrics import Metrics
from ...payload import PayloadPool
from ...scheduling import Scheduler
from ..registry import Registry
from .desk import Desk
from .housekeeping import Housekeeping
from .job import Job
from .ledger import Ledger
from .news import News
from .opening import Opening
from .runner import Runner
from .spool import Spool
from .tray import Tray


class Jobs:
    """The ledger, the spool, and those who work with them. Entering starts them, leaving gives back every job.

    Args:
        quota: How many unfinished jobs a key may have.
        at_once: How many jobs are worked on at one time.
        lease_s: For so many seconds a job is held by who works on it, until that is renewed.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        registry: Registry,
        pool: PayloadPool,
        scheduler: Scheduler,
        metrics: Metrics,
        *,
        quota: int,
        at_once: int,
        lease_s: float,
    ):
        opening = Opening(registry, pool, metrics)
        self.ledger, self.spool, self.news = ledger, spool, News(ledger)
        tray = Tray()
        self._runner = Runner(
            registry, opening, scheduler, ledger, spool, tray, self.news, metrics, at_once=at_once, lease_s=lease_s
        )
        self.desk = Desk(registry, opening, scheduler, ledger, spool, tray, arrived=self._runner.wake, quota=quota)
        self._housekeeping = Housekeeping(ledger, spool, metrics)
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            await asyncio.to_thread(self.spool.start)
            starting.push_async_callback(self.ledger.close)
            await self.ledger.start()
            self._housekeeping.start()
            starting.push_async_callback(self._housekeeping.stop)
            self._runner.start()
            starting.push_async_callback(self._runner.stop)
            self._running = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    async def dismiss(self, job: Job) -> Job:
        """Cancels a job; one that has ended stays as it is."""
        dismissed = await self.ledger.dismiss(job.id)
        self._runner.drop(job.id)
        self.news.tell(dismissed)
        return dismissed
