"""PostgreSQL behind a URL: every change is a transaction of its own, and the server joins what goes to its disk."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

T = TypeVar("T")


class Server:
    """A database on a server, for gateways on several machines.

    Args:
        url: Of SQLAlchemy.
        patience_s: After so many seconds the server gives up a statement, or the wait for a lock.

    Raises:
        ImportError: The driver is not installed.
    """

    def __init__(self, url: URL, patience_s: float):
        limit_ms = int(1000 * patience_s)
        limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        options = " ".join(f"-c {limit}={limit_ms}" for limit in limits)
        arguments = {"connect_timeout": max(2, int(patience_s)), "options": options, "application_name": "equifield"}
        try:
            self._engine = create_async_engine(url, pool_timeout=patience_s, pool_pre_ping=True, connect_args=arguments)
        except ImportError as error:
            raise ImportError("A ledger on PostgreSQL needs its driver: pip install 'equifield[postgres]'") from error
        self.engine = self._engine.sync_engine

    async def read(self, question: Callable[[Connection], T]) -> T:
        """What a transaction gives that only reads."""
        return await self.write(question)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """What a change gives once it is on the disk. One that raises has changed nothing."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(change)

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()
