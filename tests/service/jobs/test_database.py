"""The schema, how it comes to be, and how it is used."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.schema import CreateIndex

from equifield_service.domain.errors import LedgerUnavailable, SpoolFull
from equifield_service.domain.jobs import Ledger
from equifield_service.domain.jobs.tables import jobs, metadata
from tests.service.jobs import running
from tests.service.jobs.running import LONG_S, claimed, order, tell


def connected(url: str) -> Connection:
    """A connection of our own, without the ledger."""
    kind = make_url(url).get_backend_name()
    return create_engine(make_url(url).set(drivername={"postgresql": "postgresql+psycopg"}.get(kind, kind))).connect()


def differences(connection: Connection) -> list[object]:
    """What Alembic would change to make the database what the tables say."""
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


async def nothing(ledger: Ledger) -> None:
    """A story of a start."""


@pytest.mark.filterwarnings("ignore:autogenerate skipping")
def test_the_migrations_make_the_tables_that_the_code_means(url: str) -> None:
    tell(url, nothing)
    tell(url, nothing)  # once more changes nothing
    connection = connected(url)
    with connection.engine.connect() as connection:
        assert differences(connection) == []
        connection.execute(text("DROP INDEX jobs_by_model"))
        connection.execute(text("ALTER TABLE jobs DROP COLUMN holder"))
        assert len(differences(connection)) == 2, "a difference would be seen"
    connection.engine.dispose()


def test_indices_are_what_the_code_means_to_the_letter(tmp_path: Path) -> None:
    tell(f"sqlite:///{tmp_path}/jobs.sqlite", nothing)
    with connected(f"sqlite:///{tmp_path}/jobs.sqlite") as connection:
        written = connection.scalars(text("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
        meant = [str(CreateIndex(index).compile(connection)) for index in jobs.indexes]
        assert sorted(map(plain, written)) == sorted(map(plain, meant))
    connection.engine.dispose()


def plain(statement: str) -> str:
    """A statement without what means nothing."""
    return " ".join(statement.replace("jobs.", "").split())


def test_many_may_start_at_once_on_an_empty_database(url: str, lines: Callable[..., list[str]]) -> None:
    assert lines("start", url, "4") == []
    with connected(url) as connection:
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    connection.engine.dispose()


def test_queues_and_pages_are_read_from_an_index_however_long_they_are(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    seen: list[str] = []

    async def story(ledger: Ledger) -> None:
        def note(connection: Connection, cursor: object, statement: str, values: object, *rest: object) -> None:
            if not statement.startswith(("EXPLAIN", "BEGIN", "INSERT")):
                plan = connection.connection.cursor()
                plan.execute(f"EXPLAIN QUERY PLAN {statement}", values)  # type: ignore[arg-type]
                seen.extend(str(row[3]) for row in plan.fetchall())
                plan.close()

        await ledger.accept(order(owner="ann", idempotency_key="k"), quota=9)
        event.listen(ledger._database._engine.sync_engine, "before_cursor_execute", note)
        await ledger.accept(order(owner="ann", idempotency_key="k"), quota=9)
        await ledger.accept(order(owner="ann"), quota=9)
        job = await claimed(ledger)
        await ledger.renew(job, LONG_S)
        for filters in ({}, {"owner": "ann"}, {"model": "tiny"}, {"status": "running"}):
            await ledger.page(cursor=job.id, **filters)  # type: ignore[arg-type]
        await ledger.expired()

    tell(url, story)
    for index in ("jobs_queue", "jobs_leases", "jobs_to_sweep", "jobs_by_status", "jobs_by_model", "jobs_by_owner"):
        assert any(f"INDEX {index}" in step for step in seen), (index, seen)
    assert [step for step in seen if "TEMP B-TREE" in step or step.startswith("SCAN")] == []


def test_a_server_that_ends_is_an_error_and_when_it_is_back_so_is_every_job() -> None:
    if reason := running.obstacle():
        pytest.skip(reason)

    async def story(url: str) -> None:
        ledger = await Ledger(url, keep_s=LONG_S, patience_s=60).start()
        job = await ledger.accept(order())
        control("stop", "-m", "immediate")
        for _ in range(2):
            with pytest.raises(LedgerUnavailable):
                await ledger.get(job.id)
        control("start")
        assert await ledger.get(job.id) == job
        await ledger.close()

    with running.server() as (server, control):
        asyncio.run(story(f"{server}/postgres"))


def test_a_disk_without_room_for_the_ledger_is_said_and_loses_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"

    async def story(ledger: Ledger) -> None:
        job = await ledger.accept(order())
        async with ledger._database.writing() as connection:
            pages = await connection.scalar(text("PRAGMA page_count"))

        def limit(connection: Connection) -> None:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        event.listen(ledger._database._engine.sync_engine, "begin", limit)
        large = order(parameters={"form": "x" * 2**16})
        with pytest.raises(SpoolFull):
            await ledger.accept(large)
        assert [one.id for one in (await ledger.page()).jobs] == [job.id]
        await ledger.finish(await claimed(ledger), running.piece(job.id))

    tell(url, story)


def test_every_column_is_named_in_the_first_migration_once() -> None:
    from equifield_service.domain.jobs.migrations.versions import v0001_jobs as first

    assert {"number", *first.NULL, *first.NOT_NULL} == set(jobs.columns.keys())
