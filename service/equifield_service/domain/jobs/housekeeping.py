"""Removes the files of jobs that have expired, and of those that were never accepted; counts the others."""

import asyncio
import logging

from ...metrics import Metrics
from ..errors import DomainError
from .ledger import Ledger
from .spool import Spool

PAUSE_S = 15.0
STRAY_S = 3600.0
"""A file without a job that nobody wrote to for so long belongs to none that is still to come."""

logger = logging.getLogger(__name__)


class Housekeeping:
    """Looks after the ledger and the spool, as long as the service runs. Several gateways may do so at once."""

    def __init__(self, ledger: Ledger, spool: Spool, metrics: Metrics):
        self._ledger, self._spool, self._metrics = ledger, spool, metrics
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._looking = asyncio.create_task(self._look(), name="housekeeping of jobs")

    async def stop(self) -> None:
        """Ends."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self) -> None:
        while True:
            try:
                await self.tidy()
            except DomainError as error:
                logger.warning("the jobs are not tidied up: %s", error)
            await asyncio.sleep(PAUSE_S)

    async def tidy(self) -> None:
        """Does all of it once.

        Raises:
            LedgerUnavailable, SpoolFull, SpoolFailed: Something is out of reach; the rest waits for the next time.
        """
        for status, count in (await self._ledger.counts()).items():
            self._metrics.jobs.labels(status).set(count)
        while expired := await self._ledger.expired():
            for job in expired:
                await asyncio.to_thread(self._remove, job.id)
            await self._ledger.bury([job.id for job in expired])
        old = await asyncio.to_thread(self._spool.old, STRAY_S)
        unknown = await self._ledger.unknown(set(old.values()))
        await asyncio.to_thread(self._spool.remove, [name for name, job in old.items() if job in unknown])

    def _remove(self, id: str) -> None:
        self._spool.remove(self._spool.of(id))
