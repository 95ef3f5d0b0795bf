"""The schema, how it comes to be, and how it is used."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, text, update
from sqlalchemy.schema import CreateIndex

from equifield_service.domain.errors import LedgerUnavailable, SpoolFull
from equifield_service.domain.jobs import Ledger
from equifield_service.domain.jobs.tables import jobs, metadata
from tests.service.jobs import running
from tests.service.jobs.running import LONG_S, busy, claimed, connected, order, tell


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A database in a file."""
    return f"sqlite:///{tmp_path}/jobs.sqlite"


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


def test_a_new_file_may_be_opened_by_many_at_the_same_moment(tmp_path: Path, lines: Callable[..., list[str]]) -> None:
    assert lines("touch", str(tmp_path), "40") == []


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
        event.listen(ledger._database.engine, "before_cursor_execute", note)
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


def test_a_disk_without_room_for_the_ledger_is_said_and_loses_nothing(file: str) -> None:
    async def story(ledger: Ledger) -> None:
        job = await ledger.accept(order())
        pages = await ledger._database.read(lambda connection: connection.scalar(text("PRAGMA page_count")))

        def limit(connection: Connection) -> None:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        event.listen(ledger._database.engine, "begin", limit)
        large = order(parameters={"form": "x" * 2**16})
        with pytest.raises(SpoolFull):
            await ledger.accept(large)
        assert [one.id for one in (await ledger.page()).jobs] == [job.id]
        await ledger.finish(await claimed(ledger), running.piece(job.id))

    tell(file, story)


def test_what_is_asked_for_at_once_goes_to_the_disk_at_once(file: str) -> None:
    commits: list[Connection] = []

    async def story(ledger: Ledger) -> None:
        event.listen(ledger._database.engine, "commit", commits.append)
        for _ in range(4):
            await ledger.accept(order())
        assert len(commits) == 4, "one after another, each its own"
        commits.clear()
        jobs = await asyncio.gather(*(ledger.accept(order()) for _ in range(20)))
        assert len(commits) == 1
        assert {job.id for job in (await ledger.page()).jobs} > {job.id for job in jobs}

    tell(file, story)


def test_a_change_that_fails_leaves_nothing_and_its_neighbours_alone(url: str) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(update(jobs).values(message="half"))
        raise ZeroDivisionError

    async def story(ledger: Ledger) -> None:
        first = await ledger.accept(order())
        made = [ledger.accept(order()), ledger._database.write(fail), ledger.accept(order()), ledger.dismiss(first.id)]
        given = await asyncio.gather(*made, return_exceptions=True)
        assert [type(one).__name__ for one in given] == ["Job", "ZeroDivisionError", "Job", "Job"]
        found = (await ledger.page()).jobs
        assert len(found) == 3 and {job.message for job in found} == {""}
        assert (await ledger.get(first.id)).status == "dismissed"

    tell(url, story)


def test_who_gave_up_before_its_turn_has_changed_nothing(file: str) -> None:
    async def story(ledger: Ledger) -> None:
        with busy(file, ""):
            first = asyncio.create_task(ledger.accept(order()))
            await asyncio.sleep(0)  # it is the writer's turn, who waits for the file
            second, third = (asyncio.create_task(ledger.accept(order())) for _ in range(2))
            await asyncio.sleep(0)
            second.cancel()
        assert {job.id for job in (await asyncio.gather(first, third))} == {
            job.id for job in (await ledger.page()).jobs
        }

    tell(file, story)


def test_every_column_is_named_in_the_first_migration_once() -> None:
    from equifield_service.domain.jobs.migrations.versions import v0001_jobs as first

    assert {"number", *first.NULL, *first.NOT_NULL} == set(jobs.columns.keys())
