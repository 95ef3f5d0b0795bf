"""Reading the ledger: one job, or jobs in pages, newest first, without counting over the pages before."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import InvalidQuery, JobExpired, UnknownJob
from .job import Job, Status
from .tables import IS_EXPIRED, job_of, jobs, now

ALIVE = or_(jobs.c.expires.is_(None), jobs.c.expires > now())


@dataclass(frozen=True)
class Page:
    """Some jobs, and the cursor of the next page if there is one."""

    jobs: list[Job]
    next: str | None


async def find(connection: AsyncConnection, id: str) -> Job:
    """A job, if there is one and its time is not over."""
    statement = select(jobs, IS_EXPIRED).where(jobs.c.id == id)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise UnknownJob("There is no job with this id. GET /v1/jobs lists those there are.")
    if row.is_expired:
        raise JobExpired(f"The job {id} ended and its result has expired. Submit it again.")
    return job_of(row)


async def page(connection: AsyncConnection, limit: int, cursor: str | None, filters: Mapping[str, str | None]) -> Page:
    """Jobs older than the one that the cursor names, for which every filter that is not none holds."""
    wanted = [jobs.c[name] == value for name, value in filters.items() if value is not None]
    statement = select(jobs).where(ALIVE, *wanted).order_by(jobs.c.number.desc()).limit(limit + 1)
    if cursor is not None:
        statement = statement.where(jobs.c.number < await _number(connection, cursor))
    found = [job_of(row) for row in await connection.execute(statement)]
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)


async def _number(connection: AsyncConnection, cursor: str) -> int:
    """The place of the last job of a page: ids tell a client nothing of how many jobs there are."""
    number: int | None = await connection.scalar(select(jobs.c.number).where(jobs.c.id == cursor))
    if number is None:
        raise InvalidQuery("The cursor is from no page of this list. Begin without one, and follow the links `next`.")
    return number


async def counts(connection: AsyncConnection) -> dict[Status, int]:
    """How many jobs are in each state."""
    statement = select(jobs.c.status, func.count()).where(ALIVE).group_by(jobs.c.status)
    counted = {status: count for status, count in await connection.execute(statement)}
    return {status: counted.get(status, 0) for status in Status}
