"""Databases for the ledger: SQLite always, PostgreSQL where a server is named or can be started."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.running import Running, start
from tests.service.jobs import running


@pytest.fixture(scope="session")
def models(published: Path, calm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with `tiny`, whose rollouts diverge, and `calm`, whose rollouts never end by themselves."""
    store = tmp_path_factory.mktemp("models")
    for one in (published, calm):
        shutil.copytree(one, store, dirs_exist_ok=True)
    return store


@pytest.fixture(scope="session")
def service(models: Path) -> Iterator[Running]:
    """A service for all tests of jobs that leave it as they found it."""
    started = start(models, payload_processes="2", max_batch="4")
    with started.process:
        yield started
        started.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server, without the name of a database."""
    named = os.environ.get("EQUIFIELD_TEST_POSTGRES_URL")
    if named is not None:
        yield named.rpartition("/")[0] if named.count("/") > 2 else named
        return
    if reason := running.obstacle():
        pytest.skip(reason)
    with running.server() as (url, _):
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.sqlite"
    server: str = request.getfixturevalue("postgres")
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"


@pytest.fixture(scope="session")
def lines() -> Iterator[Callable[..., list[str]]]:
    """What the processes of a story of `stories` say, by its name and arguments."""
    command = [sys.executable, "-W", "error", "-m", "tests.service.jobs.stories"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as teller:
        stdin, stdout = teller.stdin, teller.stdout
        assert stdin is not None and stdout is not None

        def told(*words: str) -> list[str]:
            stdin.write(" ".join(words) + "\n")
            stdin.flush()
            said = []
            while (line := stdout.readline()) not in ("done\n", "failed\n", ""):
                said.append(line.removesuffix("\n"))
            assert line == "done\n", "a process failed; it says how on the standard error"
            return said

        yield told
        stdin.close()
