"""The ledger: what was accepted, who works on it, and what came of it."""

from collections.abc import Collection
from typing import Any, Self

from sqlalchemy import Connection, Update, bindparam, null, select, update

from . import listing, queue
from .database import Database, lock
from .job import Checkpoint, Failure, Job, LeaseLost, Order, Piece, Status, before
from .tables import ENDED, NOBODY, job_of, jobs, now

HELD = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.attempts == bindparam("attempt"), jobs.c.status == Status.RUNNING)
    .values(updated=now())
    .returning(jobs)
)
"""Changes a job that is still held by who claimed it."""
RENEW = HELD.values(lease_until=now() + bindparam("lease_s"))
END = HELD.values(ENDED)
RELEASE = HELD.values(status=Status.ACCEPTED, **NOBODY)
DISMISS = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.status.in_(before(Status.DISMISSED)))
    .values(status=Status.DISMISSED, **ENDED)
)


class Ledger:
    """Every job, in a database that survives those who work on it.

    Whoever claims a job holds it for the length of a lease, and renews that while it works. Once a lease has run out
    the job may be claimed by another, and from then on the former holder is refused, whatever it asks for: each claim
    has a number, and only the newest one can change the job. So a job may be computed more than once, and has one
    result.

    All times come from the clock of the database, so gateways whose clocks differ agree on which lease has run out. A
    clock that jumps lets a lease run out early, which costs work but no result, or late, which costs time.

    Every method raises `LedgerUnavailable` if the database does not answer in time, and `SpoolFull` if its disk is
    full. A change may then have been made or not: all of them can be asked for again.

    Args:
        url: `sqlite:///path` or `postgresql://user@host/name`.
        keep_s: For so many seconds a job that has ended is kept, with its files.
        patience_s: For so many seconds the database may take to answer.
        max_fruitless: A job fails when so many leases in a row have run out without a new checkpoint.
    """

    def __init__(self, url: str, *, keep_s: float, patience_s: float = 10.0, max_fruitless: int = 20):
        self._database = Database(url, patience_s)
        self._keep_s, self._max_fruitless = keep_s, max_fruitless

    async def start(self) -> Self:
        """Makes or updates the schema; several gateways may do so at once."""
        await self._database.start()
        return self

    async def close(self) -> None:
        """Closes the connections."""
        await self._database.close()

    async def accept(self, order: Order, *, quota: int | None = None) -> Job:
        """Enters a job; when this returns, it is on the disk.

        The same owner, idempotency key and digest give the job that is there already, with its own id and input: the
        caller removes what it wrote for this one.

        Args:
            quota: How many unfinished jobs the owner may have, this one included.

        Raises:
            IdempotencyConflict: The owner used the key for another request.
            QuotaExceeded: The owner has so many unfinished jobs already.
        """

        def enter(connection: Connection) -> Job:
            lock(connection, order.owner or "")
            known = None if order.idempotency_key is None else queue.known(connection, order)
            if known is not None:
                return known
            if quota is not None:
                queue.check_quota(connection, order, quota)
            return queue.enter(connection, order)

        return await self._database.write(enter)

    async def claim(
        self, holder: str, lease_s: float, serving: Collection[tuple[str, str]] | None = None, *, most: int = 1
    ) -> list[Job]:
        """The next jobs to work on, for `lease_s` seconds: highest priority first, then the oldest.

        Jobs whose lease has run out go back to the queue first, to their old places, or fail (`max_fruitless`).

        Args:
            holder: Who asks, for people who look into the database.
            lease_s: So long the job is held, unless that is renewed.
            serving: The models, with their versions, for which jobs are wanted; None for any.
            most: How many jobs are wanted.
        """

        def take(connection: Connection) -> list[Job]:
            queue.take_back(connection, self._max_fruitless, self._keep_s)
            return queue.claim(connection, holder, lease_s, serving, most)

        return await self._database.write(take)

    async def renew(self, job: Job, lease_s: float) -> Job:
        """Holds a job for `lease_s` more seconds from now.

        Raises:
            LeaseLost: It was dismissed or taken over.
        """
        return await self._change(RENEW, job, lease_s=lease_s)

    async def progress(
        self,
        job: Job,
        lease_s: float,
        *,
        step: int,
        progress: int,
        checkpoint: Checkpoint | None = None,
        diagnostics: dict[str, Any] | None = None,
        message: str = "",
    ) -> Job:
        """Renews the lease and notes how far the job is. What is not given stays as it was.

        Raises:
            LeaseLost: It was dismissed or taken over.
        """
        values: dict[str, Any] = {"step": step, "progress": progress, "message": message, "lease_s": lease_s}
        if checkpoint is not None:
            values |= {"checkpoint": vars(checkpoint), "fruitless": 0}
        if diagnostics is not None:
            values["diagnostics"] = diagnostics
        return await self._change(RENEW, job, **values)

    async def finish(
        self, job: Job, result: Piece, *, step: int | None = None, diagnostics: dict[str, Any] | None = None
    ) -> Job:
        """Ends a job well. To say so twice, because the first answer was lost, is to say it once.

        Raises:
            LeaseLost: It was dismissed or taken over: this result is not the one.
        """
        values = {"progress": 100, "result": vars(result), **_last(step, diagnostics)}
        try:
            return await self._change(END, job, status=Status.SUCCESSFUL, keep_s=self._keep_s, **values)
        except LeaseLost as lost:
            if lost.job.attempts == job.attempts and lost.job.result == result:
                return lost.job
            raise

    async def fail(
        self,
        job: Job,
        failure: Failure,
        *,
        result: Piece | None = None,
        step: int | None = None,
        diagnostics: dict[str, Any] | None = None,
    ) -> Job:
        """Ends a job badly, with the part of its result that is good.

        Raises:
            LeaseLost: It was dismissed or taken over.
        """
        values = {"failure": vars(failure), "message": failure.detail, "result": vars(result) if result else None}
        values |= _last(step, diagnostics)
        try:
            return await self._change(END, job, status=Status.FAILED, keep_s=self._keep_s, **values)
        except LeaseLost as lost:
            if lost.job.attempts == job.attempts and lost.job.failure == failure:
                return lost.job
            raise

    async def release(self, job: Job) -> Job:
        """Gives a job back to the queue, where it has its old place; it goes on from its last checkpoint.

        Raises:
            LeaseLost: It was dismissed or taken over.
        """
        return await self._change(RELEASE, job)

    async def dismiss(self, id: str) -> Job:
        """Cancels a job. Its holder, if there is one, is refused from now on. One that has ended stays as it is.

        Raises:
            UnknownJob: There is none with this id.
            JobExpired: There was one.
        """

        def cancel(connection: Connection) -> Job:
            connection.execute(DISMISS, {"job": id, "keep_s": self._keep_s})
            return listing.find(connection, id)

        return await self._database.write(cancel)

    async def get(self, id: str, owner: str | None = None) -> Job:
        """A job; with an owner, one of theirs.

        Raises:
            UnknownJob: There is none with this id, or it is another's.
            JobExpired: There was one.
        """
        return await self._database.read(lambda connection: listing.find(connection, id, owner))

    async def page(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        status: Status | None = None,
        model: str | None = None,
        owner: str | None = None,
    ) -> listing.Page:
        """The newest jobs that have not expired, or those that follow on a page, as they are now.

        Whoever goes from page to page sees every job that was there at the beginning, and that stays, exactly once.

        Raises:
            InvalidQuery: The cursor is from no page of this ledger.
        """
        filters = {"status": status, "model": model, "owner": owner}
        return await self._database.read(lambda connection: listing.page(connection, limit, cursor, filters))

    async def counts(self) -> dict[Status, int]:
        """How many jobs are in each state, expired ones not counted."""
        return await self._database.read(listing.counts)

    async def expired(self, limit: int = 100) -> list[Job]:
        """Jobs past their time whose files may still be there: remove all that `Spool.of` finds, then `bury` them."""
        late = select(jobs).where(jobs.c.sweep_at <= now()).order_by(jobs.c.sweep_at).limit(limit)
        return await self._database.read(lambda connection: [job_of(row) for row in connection.execute(late)])

    async def bury(self, ids: Collection[str]) -> None:
        """Notes that the files of expired jobs are gone. What stays of a job says that it was there."""
        gone = {"checkpoint": null(), "diagnostics": null(), "result": null(), "sweep_at": null(), "parameters": {}}
        statement = update(jobs).where(jobs.c.id.in_(ids), jobs.c.expires <= now()).values(gone)
        await self._database.write(lambda connection: connection.execute(statement).close())

    async def unknown(self, ids: Collection[str]) -> set[str]:
        """Those of `ids` that belong to no job: what is in the spool for them was never accepted."""
        known = select(jobs.c.id).where(jobs.c.id.in_(ids))
        return await self._database.read(lambda connection: set(ids) - set(connection.scalars(known)))

    async def _change(self, statement: Update, job: Job, **values: Any) -> Job:
        """Changes a job that is still held by who claimed it as `job`."""

        def change(connection: Connection) -> Job:
            row = connection.execute(statement, {"job": job.id, "attempt": job.attempts, **values}).one_or_none()
            if row is None:
                raise LeaseLost(job_of(connection.execute(select(jobs).where(jobs.c.id == job.id)).one()))
            return job_of(row)

        return await self._database.write(change)


def _last(step: int | None, diagnostics: dict[str, Any] | None) -> dict[str, Any]:
    """What is known anew of a job at its end."""
    return {name: value for name, value in {"step": step, "diagnostics": diagnostics}.items() if value is not None}
