"""Reading the ledger: one job, or jobs in pages, newest first, without counting over the pages before."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, or_, select

from ..errors import InvalidQuery, JobExpired, UnknownJob
from .job import Job, Status
from .tables import IS_EXPIRED, job_of, jobs, now

FIND = select(jobs, IS_EXPIRED).where(jobs.c.id == bindparam("job"))
ALIVE = or_(jobs.c.expires.is_(None), jobs.c.expires > now())


@dataclass(frozen=True)
class Page:
    """Some jobs, and the cursor of the next page if there is one."""

    jobs: list[Job]
    next: str | None


def find(connection: Connection, id: str, owner: str | None = None) -> Job:
    """A job, if there is one, of this owner if one is named, and its time is not over."""
    row = connection.execute(FIND, {"job": id}).one_or_none()
    if row is None or owner not in (None, row.owner):
        raise UnknownJob("There is no job with this id. GET /v1/jobs lists those there are.")
    if row.is_expired:
        raise JobExpired(f"The job {id} ended and its result has expired. Submit it again.")
    return job_of(row)


def page(connection: Connection, limit: int, cursor: str | None, filters: Mapping[str, str | None]) -> Page:
    """Jobs older than the one that the cursor names, for which every filter that is not none holds."""
    wanted = [jobs.c[name] == value for name, value in filters.items() if value is not None]
    statement = select(jobs).where(ALIVE, *wanted).order_by(jobs.c.number.desc()).limit(limit + 1)
    if cursor is not None:
        statement = statement.where(jobs.c.number < _number(connection, cursor))
    found = [job_of(row) for row in connection.execute(statement)]
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)


def _number(connection: Connection, cursor: str) -> int:
    """The place of the last job of a page: ids tell a client nothing of how many jobs there are."""
    number: int | None = connection.scalar(select(jobs.c.number).where(jobs.c.id == cursor))
    if number is None:
        raise InvalidQuery("The cursor is from no page of this list. Begin without one, and follow the links `next`.")
    return number


def counts(connection: Connection) -> dict[Status, int]:
    """How many jobs are in each state."""
    statement = select(jobs.c.status, func.count()).where(ALIVE).group_by(jobs.c.status)
    counted = {status: count for status, count in connection.execute(statement)}
    return {status: counted.get(status, 0) for status in Status}
