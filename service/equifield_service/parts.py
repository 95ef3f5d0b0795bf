"""The parts of a running service, put together from its settings."""

import asyncio
import logging
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from .arenas import SHARED_MEMORY, arena_that_fits
from .domain.check import Checker
from .domain.jobs import Jobs, Ledger, Spool
from .domain.life import ModelLife
from .domain.monitor import Monitor
from .domain.predict import Predictor
from .domain.registry import Registry
from .domain.store import Store
from .logs import LogOptions
from .metrics import Metrics
from .payload import Limits, PayloadPool
from .scheduling import Admission, Scheduler
from .scheduling.statistics import Statistics
from .settings import Settings
from .workers.options import WorkerOptions
from .workers.supervisor import SLOTS, Supervisor, WorkerLimits

logger = logging.getLogger(__name__)


class Parts:
    """Everything behind the HTTP surface. Entering starts it, leaving ends every process that it started."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._running = AsyncExitStack()
        arena_bytes = _arena_bytes(settings)
        self.metrics = Metrics()
        self.statistics = Statistics()
        self.registry = Registry()
        self.payload = PayloadPool(
            settings.payload_processes,
            arena_bytes,
            Limits(decoded_bytes=settings.max_decoded_bytes),
            settings.payload_timeout_s,
            self.metrics.payload_restarts.inc,
            LogOptions(settings.log_format, settings.log_level),
        )
        self.supervisor = Supervisor(
            _worker_options(settings),
            WorkerLimits(
                arena_bytes, settings.worker_start_timeout_s, settings.worker_timeout_s, settings.batch_timeout_s
            ),
            self.registry,
            self.metrics,
        )
        self.admission = Admission(
            self.metrics, max_requests=settings.max_queue_requests, max_bytes=settings.max_queue_bytes
        )
        self.scheduler = Scheduler(
            self.supervisor,
            self.metrics,
            self.statistics,
            max_batch=settings.max_batch,
            max_batch_bytes=arena_bytes,
        )
        self.store = Store(settings.store, settings.store_cache or self._own_folder())
        self.life = ModelLife(self.store, self.registry, self.supervisor, poll_seconds=settings.store_poll_s)
        self.monitor = Monitor(self.scheduler, self.supervisor, self.metrics, share=settings.monitor_share)
        self.predictor = Predictor(self.registry, self.payload, self.scheduler, self.metrics)
        self.checker = Checker(self.registry, self.payload, self.scheduler, self.supervisor, self.metrics)

        self.jobs = Jobs(
            Ledger(str(settings.ledger), keep_s=settings.job_keep_s),
            Spool(settings.jobs),
            self.registry,
            self.payload,
            self.scheduler,
            self.metrics,
            quota=settings.max_jobs_per_key,
            at_once=settings.job_slots,
            lease_s=settings.job_lease_s,
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            starting.push_async_exit(self._running.pop_all())
            await starting.enter_async_context(self.payload)
            starting.push_async_callback(self.supervisor.stop)
            starting.push_async_callback(self.scheduler.stop)
            await starting.enter_async_context(self.jobs)
            starting.push_async_callback(self.life.stop)
            self.monitor.start()
            starting.push_async_callback(self.monitor.stop)
            await self.life.start()
            self._running = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.ensure_future(self._running.aclose()))

    def _own_folder(self) -> Path:
        """A folder for as long as the service runs."""
        return Path(self._running.enter_context(tempfile.TemporaryDirectory(prefix="equifield-store-")))


def _worker_options(settings: Settings) -> WorkerOptions:
    cache = settings.compilation_cache
    return WorkerOptions(
        max_batch=settings.max_batch,
        max_compiled_grids=settings.max_compiled_grids,
        compilation_cache=None if cache is None else str(cache.absolute()),
        device_bytes=settings.max_device_bytes,
        log=LogOptions(settings.log_format, settings.log_level),
        otlp_endpoint=settings.otlp_endpoint,
    )


def _arena_bytes(settings: Settings) -> int:
    """Shared memory per direction and process; less than the settings say where the machine has less."""
    arenas = 2 * (settings.payload_processes + SLOTS)
    fits = arena_that_fits(settings.arena_bytes, arenas)
    if fits < settings.arena_bytes:
        logger.warning(
            "%s has room for %d bytes in each of %d pieces, not for EQUIFIELD_ARENA_BYTES=%d: larger requests "
            "will be refused. Give it more (docker run --shm-size), or lower the setting.",
            SHARED_MEMORY,
            fits,
            arenas,
            settings.arena_bytes,
        )
    return fits
