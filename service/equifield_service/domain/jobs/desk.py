"""The desk where jobs are handed in: what is accepted here is on the disk."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from ...scheduling import Guest, Scheduler
from ..asking import Ask, check_answer
from ..errors import IdempotencyConflict, QuotaExceeded, SpoolFailed
from ..predict import Form
from ..registry import Registry
from .assignment import Assignment
from .job import Job, Order, new_id
from .ledger import Ledger
from .opening import Opening
from .spool import Spool, file_of
from .tray import Tray


class Desk:
    """Accepts jobs.

    Args:
        arrived: Called when there is a new job.
        quota: How many unfinished jobs a key may have.
    """

    def __init__(
        self,
        registry: Registry,
        opening: Opening,
        scheduler: Scheduler,
        ledger: Ledger,
        spool: Spool,
        tray: Tray,
        *,
        arrived: Callable[[], None],
        quota: int,
    ):
        self._registry, self._opening, self._scheduler = registry, opening, scheduler
        self._ledger, self._spool, self._tray = ledger, spool, tray
        self._arrived, self._quota = arrived, quota

    async def accept(
        self,
        ask: Ask,
        body: bytes,
        form: Form,
        *,
        owner: str | None,
        idempotency_key: str | None,
        priority: int,
        guest: Guest,
    ) -> Job:
        """A job that will be done: its file was read, and it and the job are on the disk.

        Raises:
            DomainError: any of them; each says what was wrong and what would be right.
        """
        manifest, entry = self._registry.serving(ask.model, ask.version)
        assignment = Assignment.of(ask, form)
        with self._registry.using(entry):
            opened = await self._opening.open(ask, body, assignment, datetime.now(UTC), trial=True)
            guest.hold(len(opened.array) * opened.sample_bytes)
            self._scheduler.room(opened.key.grid, opened.sample_bytes)
            if assignment.steps is None:
                check_answer(len(opened.array), opened.sample_bytes, most=self._scheduler.max_batch_bytes)
        id = new_id()
        piece = await asyncio.to_thread(self._spool.put, file_of(id, "input"), [body])
        order = Order(
            id=id,
            model=manifest.name,
            version=manifest.version,
            input=piece,
            digest=assignment.digest(ask, piece),
            owner=owner,
            idempotency_key=idempotency_key,
            priority=priority,
            parameters=assignment.to_json(),
        )
        self._tray.put(id, opened)
        try:
            job = await self._ledger.accept(order, quota=self._quota)
        except (IdempotencyConflict, QuotaExceeded):
            await self._forget(order)
            raise
        if job.id != id:
            await self._forget(order)
        self._arrived()
        return job

    async def _forget(self, order: Order) -> None:
        self._tray.drop(order.id)
        with suppress(SpoolFailed):  # what stays is swept away
            await asyncio.to_thread(self._spool.remove, [order.input.name])
