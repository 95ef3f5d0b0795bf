"""Several processes on one ledger, some of which are killed."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from equifield_service.domain.jobs import Job, LeaseLost, Ledger, Order, Spool, Status, file_of
from tests.service.jobs.running import LONG_S, order, piece, tell

PATIENCE_S = 60.0


Lines = Callable[..., list[str]]


def test_of_many_that_claim_at_once_each_job_has_one(url: str, lines: Lines) -> None:
    async def fill(ledger: Ledger) -> set[str]:
        return {(await ledger.accept(order())).id for _ in range(30)}

    async def counts(ledger: Ledger) -> dict[Status, int]:
        return await ledger.counts()

    ids = tell(url, fill)
    said = Counter(tuple(line.split()) for line in lines("claim", url, "4"))
    assert {id for _, id in said} == ids and set(said.values()) == {1}
    assert len({holder for holder, _ in said}) == 4, "they did claim at once"
    assert tell(url, counts)[Status.SUCCESSFUL] == 30


def test_the_job_of_a_process_that_is_killed_is_taken_over_and_has_one_result(url: str, lines: Lines) -> None:
    async def fill(ledger: Ledger) -> Job:
        return await ledger.accept(order())

    async def take_over(ledger: Ledger) -> None:
        held = await ledger.get(job.id)
        assert (held.status, held.attempts) == (Status.RUNNING, 1)
        found: list[Job] = []
        async with asyncio.timeout(PATIENCE_S):
            while not found:
                found = await ledger.claim("another", LONG_S)
        (taken,) = found
        assert (taken.id, taken.attempts) == (job.id, 2)
        with pytest.raises(LeaseLost):
            await ledger.finish(held, piece(job.id, "late"))
        await ledger.finish(taken, piece(job.id, "result"))
        with pytest.raises(LeaseLost):
            await ledger.finish(held, piece(job.id, "late"))
        assert (await ledger.get(job.id)).result == piece(job.id, "result")

    job = tell(url, fill)
    assert lines("hold", url, "0.5") == [job.id]
    tell(url, take_over)


def test_who_is_killed_while_it_accepts_leaves_a_whole_job_or_none(url: str, lines: Lines, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    lines("accept", url, str(folder))
    spool = Spool(str(folder)).start()

    async def look(ledger: Ledger) -> tuple[list[Order], set[str]]:
        page = await ledger.page()
        return [job.order for job in page.jobs], await ledger.unknown(set(spool.old(0).values()))

    accepted, strays = tell(url, look)
    assert [order.parameters["killed"] for order in accepted] == ["after the commit"]
    assert [spool.load(order.input) for order in accepted] == [b"whole"]
    assert len(strays) == 3, "what the others left is found"
    for job in strays:
        spool.remove(spool.of(job))
    assert [path.name for path in folder.iterdir()] == [file_of(accepted[0].id, "input")]
