"""The database of the ledger: SQLite in a file or PostgreSQL behind a URL, with the newest schema."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, exc, make_url, text

from ..errors import LedgerUnavailable, SpoolFull
from .postgresql import Server
from .sqlite import File

logger = logging.getLogger(__name__)

T = TypeVar("T")
MIGRATIONS = Path(__file__).with_name("migrations")
LOCKS = 0x65717569  # keeps our advisory locks apart from those of others in the same database
DISK_FULL_OF_POSTGRESQL = "53100"


class Database:
    """A database that answers in time, or not at all. What it is asked are functions of a connection.

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
        self._keeper: File | Server
        match location.get_backend_name():
            case "sqlite" if location.database not in (None, "", ":memory:"):
                self._keeper = File(location.set(drivername="sqlite+pysqlite"), patience_s)
            case "postgresql":
                self._keeper = Server(location.set(drivername="postgresql+psycopg"), patience_s)
            case _:
                raise ValueError(
                    f"A ledger lives in a file or on a server, not in {location.render_as_string()!r}. "
                    "Use sqlite:///path/jobs.sqlite or postgresql://user@host/name."
                )
        self.engine = self._keeper.engine

    async def start(self) -> None:
        """Brings the schema to its newest form; of several that start at once, one does and the others wait.

        Raises:
            LedgerUnavailable: It does not answer.
        """

        def migrate(connection: Connection) -> None:
            lock(connection, "schema")
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            command.upgrade(config, "head")

        await self.write(migrate)

    async def close(self) -> None:
        """Closes all connections."""
        await self._keeper.close()

    async def write(self, change: Callable[[Connection], T]) -> T:
        """What a change gives, once it is on the disk; one that raises has changed nothing.

        Raises:
            LedgerUnavailable: The database does not answer; the change may have been made or not.
            SpoolFull: Its disk is full; nothing was changed.
        """
        async with self._explaining():
            return await self._keeper.write(change)

    async def read(self, question: Callable[[Connection], T]) -> T:
        """What a question gives that changes nothing.

        Raises:
            LedgerUnavailable: The database does not answer.
        """
        async with self._explaining():
            return await self._keeper.read(question)

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


def lock(connection: Connection, name: str) -> None:
    """Nobody else passes here with this name until the transaction ends; in SQLite nobody else writes at all."""
    if connection.dialect.name == "postgresql":
        statement = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, :locks))")
        connection.execute(statement, {"name": name, "locks": LOCKS})


def _is_full(error: Exception) -> bool:
    origin = getattr(error, "orig", None)
    code = getattr(origin, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or getattr(origin, "sqlstate", None) == DISK_FULL_OF_POSTGRESQL
