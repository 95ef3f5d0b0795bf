"""What the ledger does at the two ends of the queue, each within a transaction of its caller.

Statements are built once: SQLAlchemy takes longer to build one than the database to follow it.
"""

from collections.abc import Collection

from sqlalchemy import Connection, Integer, bindparam, func, insert, select, tuple_, update

from ..errors import IdempotencyConflict, QuotaExceeded, WorkerFailed
from .job import Job, Order, Status
from .tables import ENDED, IS_EXPIRED, NOBODY, job_of, jobs, now, row_of

SAME = (jobs.c.owner == bindparam("whose"), jobs.c.idempotency_key == bindparam("key"))
KNOWN = select(jobs, IS_EXPIRED).where(*SAME)
FORGET = update(jobs).where(*SAME).values(idempotency_key=None)
UNFINISHED = select(func.count()).select_from(jobs).where(jobs.c.owner == bindparam("whose"), jobs.c.finished.is_(None))
ENTER = insert(jobs).values(created=now(), updated=now()).returning(jobs)
LATE = select(jobs.c.number).where(jobs.c.lease_until <= now()).with_for_update(skip_locked=True)


FIRST = (
    select(jobs.c.number)
    .where(jobs.c.status == Status.ACCEPTED)
    .order_by(jobs.c.priority.desc(), jobs.c.number)
    .limit(bindparam("most", type_=Integer()))
    .with_for_update(skip_locked=True)
)
"""The first in the queue; others who look at this moment see those behind them."""
FIRST_SERVED = FIRST.where(tuple_(jobs.c.model, jobs.c.version).in_(bindparam("serving", expanding=True)))
CLAIM = (
    update(jobs)
    .where(jobs.c.number.in_(bindparam("numbers", expanding=True)))
    .values(status=Status.RUNNING, attempts=jobs.c.attempts + 1, updated=now(), message="")
    .values(lease_until=now() + bindparam("lease_s"), started=func.coalesce(jobs.c.started, now()))
    .returning(jobs)
)


def known(connection: Connection, order: Order) -> Job | None:
    """The job that the owner has under the key of an order; one that has expired loses the key."""
    same = {"whose": order.owner or "", "key": order.idempotency_key}
    row = connection.execute(KNOWN, same).one_or_none()
    if row is not None and row.is_expired:
        connection.execute(FORGET, same)
        return None
    if row is not None and row.digest != order.digest:
        raise IdempotencyConflict(
            f"The key {order.idempotency_key!r:.200} belongs to the job {row.id}, which was another request. "
            "Use a key of its own for each request, and the same one only to send it again."
        )
    return None if row is None else job_of(row)


def enter(connection: Connection, order: Order) -> Job:
    """A new job, behind all others."""
    return job_of(connection.execute(ENTER, row_of(order)).one())


def check_quota(connection: Connection, order: Order, quota: int) -> None:
    """Refuses an order whose owner has as many unfinished jobs as it may have."""
    if (connection.scalar(UNFINISHED, {"whose": order.owner or ""}) or 0) >= quota:
        raise QuotaExceeded(
            f"{quota} jobs of this key are not finished, which is as many as it may have. "
            "Wait for one, or dismiss one.",
            retry_after=30,
        )


def take_back(connection: Connection, max_fruitless: int, keep_s: float) -> None:
    """Ends leases that have run out, but for those with which somebody else is busy."""
    numbers = list(connection.scalars(LATE))
    if not numbers:
        return
    count = jobs.c.fruitless + 1
    these = update(jobs).where(jobs.c.number.in_(numbers))
    detail = f"{max_fruitless} times in a row whoever worked on it died or hung, and it came no further."
    hopeless = these.where(count >= max_fruitless).values(ENDED)
    failure = {"code": WorkerFailed.code, "detail": detail}
    hopeless = hopeless.values(status=Status.FAILED, fruitless=count, failure=failure, message=detail)
    connection.execute(hopeless, {"keep_s": keep_s})
    message = "Whoever worked on it is gone: it will go on from its last checkpoint."
    again = {"status": Status.ACCEPTED, "fruitless": count, "message": message, "updated": now(), **NOBODY}
    connection.execute(these.where(jobs.c.status == Status.RUNNING).values(again))


def claim(
    connection: Connection, holder: str, lease_s: float, serving: Collection[tuple[str, str]] | None, most: int
) -> list[Job]:
    """The first jobs in the queue, which are now their holder's."""
    if serving is None:
        first = connection.scalars(FIRST, {"most": most})
    else:
        first = connection.scalars(FIRST_SERVED, {"most": most, "serving": list(serving)})
    numbers = list(first)
    if not numbers:
        return []
    rows = connection.execute(CLAIM, {"numbers": numbers, "holder": holder, "lease_s": lease_s})
    return [job_of(row) for row in sorted(rows, key=lambda row: numbers.index(row.number))]
