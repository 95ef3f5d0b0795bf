"""SQLite in a file: one thread writes, and all changes that wait go to the disk together, in one transaction.

A change that comes while a transaction is on its way waits for the next one, together with all others that do.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL

T = TypeVar("T")
READERS = 4


@dataclass(frozen=True)
class _Asked:
    """A change, and whoever waits for what it gives."""

    change: Callable[[Connection], Any]
    answer: asyncio.Future[Any]


class File:
    """A database in a file, for gateways on one machine.

    Args:
        url: Of SQLAlchemy.
        patience_s: For so many seconds a writer of another process is waited for.
    """

    def __init__(self, url: URL, patience_s: float):
        self.engine = create_engine(
            url, pool_timeout=patience_s, pool_use_lifo=True, connect_args={"timeout": patience_s}
        )
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)
        self._reading = self.engine.execution_options(reads_only=True)
        self._readers = ThreadPoolExecutor(READERS, "reads the ledger")
        self._writer = ThreadPoolExecutor(1, "writes the ledger")
        self._asked: list[_Asked] = []
        self._writing: asyncio.Task[None] | None = None

    async def read(self, question: Callable[[Connection], T]) -> T:
        """What a transaction gives that only reads, and waits for no writer."""

        def ask() -> T:
            with self._reading.begin() as connection:
                return question(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, ask)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """What a change gives once it is on the disk. One that raises has changed nothing."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(change, answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="writer of the ledger")
        return await answer

    async def close(self) -> None:
        """Closes the file, once nobody is at it."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._writer.shutdown()
        self._readers.shutdown()
        self.engine.dispose()

    async def _write(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                if not await self._made(asked):
                    for one in asked:  # by itself: whatever one of them met is not the others'
                        await self._made([one])
        finally:
            self._writing = None

    async def _made(self, asked: list[_Asked]) -> bool:
        """Makes changes in one transaction; False if any of several raises, after which none is made."""
        wanted = [one for one in asked if not one.answer.done()]
        if not wanted:
            return True
        try:
            given = await asyncio.get_running_loop().run_in_executor(self._writer, self._commit, wanted)
        except Exception as error:
            if len(wanted) == 1 and not wanted[0].answer.done():
                wanted[0].answer.set_exception(error)
            return len(wanted) == 1
        for one, value in zip(wanted, given, strict=True):
            if not one.answer.done():
                one.answer.set_result(value)
        return True

    def _commit(self, asked: list[_Asked]) -> list[Any]:
        with self.engine.begin() as connection:
            return [one.change(connection) for one in asked]


def _prepare(connection: Any, record: Any) -> None:
    """Commits reach the disk before they return, readers and the writer do not wait for each other."""
    connection.isolation_level = None  # transactions begin where `_begin` says, not before the first write
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        cursor.execute("BEGIN IMMEDIATE")  # waits, as that pragma does not, for whoever turns a new file to it
        cursor.execute("ROLLBACK")
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer takes the lock at once: what it read before it writes is then still so."""
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
