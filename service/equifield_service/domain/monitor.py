"""Live monitoring: is what is served equivariant on what is really asked?"""

import asyncio
import logging
import random

from ..metrics import Metrics
from ..scheduling import Array, BatchKey, Scheduler
from ..workers.supervisor import Supervisor
from .errors import DomainError

logger = logging.getLogger(__name__)


class Monitor:
    """Checks a share of all live requests against the law, in time that nobody else wants.

    Args:
        share: The probability with which a request is taken. While one waits for its check, no other is taken.
    """

    def __init__(self, scheduler: Scheduler, supervisor: Supervisor, metrics: Metrics, *, share: float):
        self._scheduler, self._supervisor, self._metrics = scheduler, supervisor, metrics
        self._share = share
        self._taken: asyncio.Queue[tuple[BatchKey, Array]] = asyncio.Queue(maxsize=1)
        self._checking: asyncio.Task[None] | None = None
        scheduler.witness = self._see

    def start(self) -> None:
        """Begins to check; needs a running event loop."""
        self._checking = asyncio.create_task(self._check_all(), name="monitor")

    async def stop(self) -> None:
        """Checks no more."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait([self._checking])

    def _see(self, key: BatchKey, samples: Array) -> None:
        if random.random() < self._share and not self._taken.full():
            self._taken.put_nowait((key, samples[:1].copy()))

    async def _check_all(self) -> None:
        while True:
            key, sample = await self._taken.get()
            await self._scheduler.idle()
            try:
                report, _ = await self._supervisor.check(key, sample, seed=0)
            except DomainError as error:
                logger.warning("a live request of %s/%s could not be checked: %s", *key.package, error)
                continue
            worst = report["worst"]
            measured = float("nan") if worst["error"] is None else worst["error"]
            self._metrics.live_equivariance_error.labels("/".join(key.package)).set(measured)
            self._metrics.live_checks.labels("/".join(key.package), str(report["passed"]).lower()).inc()
            if not report["passed"]:
                logger.error(
                    "%s/%s breaks its law on a live request on grid %s: under %s the field %s is off by %s relative",
                    *key.package,
                    key.grid,
                    worst["element"],
                    worst["field"],
                    worst["error"],
                )
