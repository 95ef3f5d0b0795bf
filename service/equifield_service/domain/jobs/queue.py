"""What the ledger does at the two ends of the queue, each within a transaction of its caller."""

from collections.abc import Collection

from sqlalchemy import func, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import IdempotencyConflict, QuotaExceeded, WorkerFailed
from .job import Job, Order, Status
from .tables import IS_EXPIRED, NOBODY, ended, job_of, jobs, now


async def known(connection: AsyncConnection, order: Order) -> Job | None:
    """The job that the owner has under the key of an order; one that has expired loses the key."""
    same = (jobs.c.owner == (order.owner or ""), jobs.c.idempotency_key == order.idempotency_key)
    statement = select(jobs, IS_EXPIRED).where(*same)
    row = (await connection.execute(statement)).one_or_none()
    if row is not None and row.is_expired:
        await connection.execute(update(jobs).where(*same).values(idempotency_key=None))
        return None
    if row is not None and row.digest != order.digest:
        raise IdempotencyConflict(
            f"The key {order.idempotency_key!r:.200} belongs to the job {row.id}, which was another request. "
            "Use a key of its own for each request, and the same one only to send it again."
        )
    return None if row is None else job_of(row)


async def check_quota(connection: AsyncConnection, order: Order, quota: int) -> None:
    """Refuses an order whose owner has as many unfinished jobs as it may have."""
    mine = select(func.count()).select_from(jobs).where(jobs.c.owner == (order.owner or ""), jobs.c.finished.is_(None))
    if ((await connection.scalar(mine)) or 0) >= quota:
        raise QuotaExceeded(
            f"{quota} jobs of this key are not finished, which is as many as it may have. "
            "Wait for one, or dismiss one.",
            retry_after=30,
        )


async def take_back(connection: AsyncConnection, max_fruitless: int, keep_s: float) -> None:
    """Ends leases that have run out, but for those with which somebody else is busy."""
    late = select(jobs.c.number).where(jobs.c.lease_until <= now()).with_for_update(skip_locked=True)
    numbers = list(await connection.scalars(late))
    if not numbers:
        return
    count = jobs.c.fruitless + 1
    these = update(jobs).where(jobs.c.number.in_(numbers))
    detail = f"{max_fruitless} times in a row whoever worked on it died or hung, and it came no further."
    hopeless = these.where(count >= max_fruitless).values(ended(Status.FAILED, keep_s))
    failure = {"code": WorkerFailed.code, "detail": detail}
    await connection.execute(hopeless.values(fruitless=count, failure=failure, message=detail))
    message = "Whoever worked on it is gone: it will go on from its last checkpoint."
    again = {"status": Status.ACCEPTED, "fruitless": count, "message": message, "updated": now(), **NOBODY}
    await connection.execute(these.where(jobs.c.status == Status.RUNNING).values(again))


async def claim(
    connection: AsyncConnection, holder: str, lease_s: float, serving: Collection[tuple[str, str]] | None
) -> Job | None:
    """Gives the first job in the queue to a holder; others who claim at this moment get those behind it."""
    wanted = true() if serving is None else tuple_(jobs.c.model, jobs.c.version).in_(list(serving))
    first = (
        select(jobs.c.number)
        .where(jobs.c.status == Status.ACCEPTED, wanted)
        .order_by(jobs.c.priority.desc(), jobs.c.number)
        .limit(1)
    )
    statement = (
        update(jobs)
        .where(jobs.c.number == first.with_for_update(skip_locked=True).scalar_subquery())
        .values(status=Status.RUNNING, holder=holder, lease_until=now() + lease_s, updated=now(), message="")
        .values(attempts=jobs.c.attempts + 1, started=func.coalesce(jobs.c.started, now()))
    )
    row = (await connection.execute(statement.returning(jobs))).one_or_none()
    return None if row is None else job_of(row)
