"""The database of the ledger: SQLite in a file or PostgreSQL behind a URL, with the newest schema."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, exc, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ..errors import LedgerUnavailable, SpoolFull

logger = logging.getLogger(__name__)

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
MIGRATIONS = Path(__file__).with_name("migrations")
LOCKS = 0x65717569  # keeps our advisory locks apart from those of others in the same database
DISK_FULL_OF_POSTGRESQL = "53100"


class Database:
    """Connections on which every statement ends in time.

    Args:
        url: `sqlite:///path` or `postgresql://user@host/name`. SQLite is for gateways on one machine with a local disk.
        patience_s: After so many seconds a transaction is given up.

    Raises:
        ValueError: It is neither.
        ImportError: The driver is not installed.
    """

    def __init__(self, url: str, patience_s: float):
        self._patience_s = patience_s
        location = make_url(url)
        kind = location.get_backend_name()
        if kind not in DRIVERS or (kind == "sqlite" and location.database in (None, "", ":memory:")):
            raise ValueError(
                f"A ledger lives in a file or on a server, not in {location.render_as_string()!r}. "
                "Use sqlite:///path/jobs.sqlite or postgresql://user@host/name."
            )
        self._is_shared = kind == "postgresql"
        self._engine = _engine(location.set(drivername=DRIVERS[kind]), patience_s)
        if not self._is_shared:
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
        self._reading = self._engine.execution_options(reads_only=True)

    async def start(self) -> None:
        """Brings the schema to its newest form; of several that start at once, one does and the others wait.

        Raises:
            LedgerUnavailable: It does not answer.
        """
        async with self.writing() as connection:
            await self.lock(connection, "schema")
            await connection.run_sync(_migrate)

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is on the disk when the block ends, or never was. SQLite has one at a time."""
        async with self._explaining(), self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, and waits for no writer."""
        async with self._explaining(), self._reading.begin() as connection:
            yield connection

    async def lock(self, connection: AsyncConnection, name: str) -> None:
        """Nobody else passes here with this name until the transaction ends; in SQLite nobody else writes at all."""
        if self._is_shared:
            statement = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, :locks))")
            await connection.execute(statement, {"name": name, "locks": LOCKS})

    @asynccontextmanager
    async def _explaining(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience_s):
                yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, OSError) as error:
            logger.warning("The database of jobs: %s", error)
            if _is_full(error):
                raise SpoolFull("The disk of the ledger is full: nothing was changed. Try again later.") from error
            raise LedgerUnavailable("The ledger of jobs does not answer. Try again soon.", retry_after=5) from error


def _engine(url: URL, patience_s: float) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        return create_async_engine(url, pool_timeout=patience_s, connect_args={"timeout": patience_s})
    limit_ms = int(1000 * patience_s)
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    options = " ".join(f"-c {limit}={limit_ms}" for limit in limits)
    arguments = {"connect_timeout": max(2, int(patience_s)), "options": options, "application_name": "equifield"}
    try:
        return create_async_engine(url, pool_timeout=patience_s, pool_pre_ping=True, connect_args=arguments)
    except ImportError as error:
        raise ImportError("A ledger on PostgreSQL needs its driver: pip install 'equifield[postgres]'") from error


def _prepare_sqlite(connection: Any, record: Any) -> None:
    """Commits reach the disk before they return, readers and the writer do not wait for each other."""
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not before the first write
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once: what it read before it writes is then still so."""
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


def _is_full(error: Exception) -> bool:
    origin = getattr(error, "orig", None)
    code = getattr(origin, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or getattr(origin, "sqlstate", None) == DISK_FULL_OF_POSTGRESQL
