"""The table of jobs, as it was first."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
NOT_NULL: dict[str, sa.types.TypeEngine[Any]] = {
    "id": sa.String(32),
    "status": sa.String(16),
    "priority": sa.Integer(),
    "owner": sa.Text(),
    "digest": sa.Text(),
    "model": sa.Text(),
    "version": sa.Text(),
    "parameters": sa.JSON(),
    "input": sa.JSON(),
    "created": sa.Double(),
    "updated": sa.Double(),
    "progress": sa.Integer(),
    "step": sa.BigInteger(),
    "message": sa.Text(),
    "attempts": sa.Integer(),
    "fruitless": sa.Integer(),
}
NULL: dict[str, sa.types.TypeEngine[Any]] = {
    "idempotency_key": sa.Text(),
    "started": sa.Double(),
    "finished": sa.Double(),
    "expires": sa.Double(),
    "sweep_at": sa.Double(),
    "checkpoint": sa.JSON(),
    "diagnostics": sa.JSON(),
    "result": sa.JSON(),
    "failure": sa.JSON(),
    "holder": sa.Text(),
    "lease_until": sa.Double(),
}
INDICES: dict[str, list[str | sa.TextClause]] = {
    "jobs_unfinished": ["owner", "finished"],
    "jobs_queue": ["status", sa.text("priority DESC"), "number"],
    "jobs_leases": ["lease_until"],
    "jobs_to_sweep": ["sweep_at"],
    "jobs_by_status": ["status", "number"],
    "jobs_by_model": ["model", "number"],
    "jobs_by_owner": ["owner", "number"],
}


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", NUMBER, primary_key=True),
        *(sa.Column(name, kind, nullable=False) for name, kind in NOT_NULL.items()),
        *(sa.Column(name, kind) for name, kind in NULL.items()),
        sa.UniqueConstraint("id"),
    )
    op.create_index("jobs_owner_key", "jobs", ["owner", "idempotency_key"], unique=True)
    for name, columns in INDICES.items():
        op.create_index(name, "jobs", columns)
