"""The one table of the ledger, and the way between its rows and jobs.

Times are seconds since 1970 as the database tells them (`now`), so that gateways whose clocks differ agree.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    bindparam,
    null,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from .job import Checkpoint, Failure, Job, Order, Piece, Status

OPAQUE = JSON(none_as_null=True)

metadata = MetaData()
jobs = Table(
    "jobs",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("owner", Text, nullable=False),  # empty for none: a NULL would be unlike every other
    Column("idempotency_key", Text),
    Column("digest", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("input", JSON, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Column("expires", Double),
    Column("sweep_at", Double),  # when it expires, until its files are gone
    Column("progress", Integer, nullable=False, default=0),
    Column("step", BigInteger, nullable=False, default=0),
    Column("message", Text, nullable=False, default=""),
    Column("checkpoint", OPAQUE),
    Column("diagnostics", OPAQUE),
    Column("result", OPAQUE),
    Column("failure", OPAQUE),
    Column("attempts", Integer, nullable=False, default=0),
    Column("fruitless", Integer, nullable=False, default=0),  # leases that ran out since the last checkpoint
    Column("holder", Text),
    Column("lease_until", Double),  # of a running job, and of no other
)


Index("jobs_owner_key", jobs.c.owner, jobs.c.idempotency_key, unique=True)
Index("jobs_unfinished", jobs.c.owner, jobs.c.finished)
Index("jobs_queue", jobs.c.status, jobs.c.priority.desc(), jobs.c.number)
Index("jobs_leases", jobs.c.lease_until)
Index("jobs_to_sweep", jobs.c.sweep_at)
for _column in (jobs.c.status, jobs.c.model, jobs.c.owner):
    Index(f"jobs_by_{_column.name}", _column, jobs.c.number)


class now(FunctionElement[float]):
    """Seconds since 1970 by the clock of the database, the same throughout one statement."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_of_sqlite(element: now, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_of_postgresql(element: now, compiler: Any, **options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)"


NOBODY = {"holder": null(), "lease_until": null()}
KEEP: BindParameter[float] = bindparam("keep_s", type_=Double())
ENDED = {"finished": now(), "updated": now(), "expires": now() + KEEP, "sweep_at": now() + KEEP, **NOBODY}
"""What is true of every job that ends, and is then kept for `keep_s` seconds."""
IS_EXPIRED = (jobs.c.expires <= now()).label("is_expired")
"""Whether the time of a job is over, as a column; NULL for one that has not ended."""

T = TypeVar("T")


def row_of(order: Order) -> dict[str, Any]:
    """An order as the columns of a new row, but for the times."""
    return {**vars(order), "input": vars(order.input), "owner": order.owner or "", "status": Status.ACCEPTED}


def job_of(row: Row[Any]) -> Job:
    """A row as a job."""
    return Job(
        order=Order(
            id=row.id,
            model=row.model,
            version=row.version,
            input=Piece(**row.input),
            digest=row.digest,
            owner=row.owner or None,
            idempotency_key=row.idempotency_key,
            priority=row.priority,
            parameters=row.parameters,
        ),
        status=Status(row.status),
        progress=row.progress,
        message=row.message,
        created=datetime.fromtimestamp(row.created, UTC),
        updated=datetime.fromtimestamp(row.updated, UTC),
        started=_time(row.started),
        finished=_time(row.finished),
        expires=_time(row.expires),
        step=row.step,
        checkpoint=_made(Checkpoint, row.checkpoint),
        diagnostics=row.diagnostics,
        attempts=row.attempts,
        result=_made(Piece, row.result),
        failure=_made(Failure, row.failure),
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _made(kind: type[T], value: dict[str, Any] | None) -> T | None:
    return None if value is None else kind(**value)
