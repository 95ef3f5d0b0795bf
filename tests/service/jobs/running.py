"""Ledgers, and a PostgreSQL server of one's own where its programs are installed."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, make_url

from equifield_service.domain.jobs import Job, Ledger, Order, Piece, file_of, new_id
from equifield_service.domain.jobs.database import lock

PROGRAMS = ("initdb", "pg_ctl")
UNPRIVILEGED = "postgres"  # the server refuses to run as root
LONG_S, OVER_S = 1000.0, 0.0
"""A lease that lasts longer than a test, and one that has run out when it begins."""
HOST = "127.0.0.2"  # where the ports of 127.0.0.1 do not count, which everybody else takes

T = TypeVar("T")


def tell(url: str, story: Callable[[Ledger], Awaitable[T]], **options: Any) -> T:
    """Runs a story with a ledger that is started for it, and gives what it gives."""

    async def told() -> T:
        ledger = await Ledger(url, **{"keep_s": LONG_S, "patience_s": 60.0, **options}).start()
        try:
            return await story(ledger)
        finally:
            await ledger.close()

    return asyncio.run(told())


def order(**details: Any) -> Order:
    """An order for which only what matters to a test is said."""
    id = new_id()
    return Order(**{"id": id, "model": "tiny", "version": "1", "input": piece(id), "digest": "d", **details})


def piece(job: str, kind: str = "input") -> Piece:
    """A file that only the ledger hears of."""
    return Piece(file_of(job, kind), 4, "0" * 64)


async def claimed(ledger: Ledger, lease_s: float = LONG_S) -> Job:
    """The next job, which there must be."""
    found = await ledger.claim("test", lease_s)
    if not found:
        raise AssertionError("nothing is in the queue")
    return found[0]


def connected(url: str) -> Connection:
    """A connection of our own, without the ledger."""
    kind = make_url(url).get_backend_name()
    return create_engine(make_url(url).set(drivername={"postgresql": "postgresql+psycopg"}.get(kind, kind))).connect()


@contextmanager
def busy(url: str, owner: str) -> Iterator[None]:
    """Nobody can hand in a job of this owner; on SQLite nobody can write at all."""
    with connected(url) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        lock(connection, owner)
        yield
    connection.engine.dispose()


def obstacle() -> str | None:
    """Why no PostgreSQL server can be started here, if none can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"EQUIFIELD_TEST_POSTGRES_URL is not set, and {' and '.join(missing)} of PostgreSQL are not installed"
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        return "EQUIFIELD_TEST_POSTGRES_URL is not set, and PostgreSQL does not run as root"
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def server() -> Iterator[tuple[str, Callable[..., None]]]:
    """A PostgreSQL server: its URL up to the name of the database, and `pg_ctl` for it."""
    folder = Path(tempfile.mkdtemp(prefix="equifield-postgres-"))
    switch: list[str] = []
    if os.getuid() == 0:
        switch = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
        shutil.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
    port, data, log = _free_port(), str(folder / "data"), str(folder / "log")
    options = f"-p {port} -k {folder} -c listen_addresses={HOST} -c fsync=off"  # no test cuts the power

    def control(*arguments: str) -> None:
        command = [*switch, "pg_ctl", "-w", "-t", "60", "-D", data, "-l", log, "-o", options, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

    make = ["initdb", "-D", data, "-A", "trust", "-U", "equifield", "-E", "UTF8", "--no-sync"]
    subprocess.run([*switch, *make], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    control("start")
    try:
        yield f"postgresql://equifield@{HOST}:{port}", control
    finally:
        control("stop", "-m", "immediate")
        shutil.rmtree(folder)
