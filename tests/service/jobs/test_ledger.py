"""What the ledger promises, on both databases."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable

import pytest

from equifield_service.domain.errors import (
    IdempotencyConflict,
    InvalidQuery,
    JobExpired,
    LedgerUnavailable,
    QuotaExceeded,
    UnknownJob,
)
from equifield_service.domain.jobs import TRANSITIONS, Checkpoint, Failure, Job, LeaseLost, Ledger, Status, new_id
from tests.service.jobs.running import LONG_S, OVER_S, busy, claimed, order, piece, tell

FAILURE = Failure("worker_failed", "It broke.")


def test_a_job_is_given_back_as_it_was_accepted(url: str) -> None:
    asked = order(owner="ann", idempotency_key="k", priority=3, parameters={"steps": 5, "form": {"every": 2}})

    async def accept(ledger: Ledger) -> Job:
        return await ledger.accept(asked)

    async def get(ledger: Ledger) -> Job:
        return await ledger.get(asked.id)

    accepted = tell(url, accept)
    assert accepted.order == asked and accepted.status is Status.ACCEPTED and accepted.progress == 0
    assert tell(url, get) == accepted, "another ledger on the same database sees the same"


def test_the_life_of_a_job_that_ends_well(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        job = await ledger.accept(order())
        job = await claimed(ledger)
        assert (job.status, job.attempts) == (Status.RUNNING, 1) and job.started is not None
        where = Checkpoint(f"{job.id}.checkpoint", 10)
        told = await ledger.progress(job, LONG_S, step=10, progress=40, checkpoint=where, diagnostics={"energy": 1.5})
        assert (told.step, told.progress, told.checkpoint, told.diagnostics) == (10, 40, where, {"energy": 1.5})
        kept = await ledger.progress(job, LONG_S, step=11, progress=44)
        assert (kept.checkpoint, kept.diagnostics) == (where, {"energy": 1.5}), "what is not given stays"
        ended = await ledger.finish(job, piece(job.id, "result"))
        assert (ended.status, ended.progress, ended.result) == (Status.SUCCESSFUL, 100, piece(job.id, "result"))
        assert job.created <= job.started <= (ended.finished or job.created) < (ended.expires or job.created)
        assert await ledger.finish(job, piece(job.id, "result")) == ended, "to finish twice is to finish once"
        assert await ledger.claim("test", LONG_S) == []

    tell(url, story)


CHANGES: dict[Status, Callable[[Ledger, Job], Awaitable[Job]]] = {
    Status.ACCEPTED: lambda ledger, job: ledger.release(job),
    Status.RUNNING: lambda ledger, job: claimed(ledger),
    Status.SUCCESSFUL: lambda ledger, job: ledger.finish(job, piece(job.id)),
    Status.FAILED: lambda ledger, job: ledger.fail(job, FAILURE),
    Status.DISMISSED: lambda ledger, job: ledger.dismiss(job.id),
}


def test_a_job_goes_from_state_to_state_as_the_table_says_and_not_otherwise(url: str) -> None:
    async def bring(ledger: Ledger, status: Status) -> Job:
        job = await ledger.accept(order())
        if status is Status.ACCEPTED:
            return job
        job = await claimed(ledger)
        return job if status is Status.RUNNING else await CHANGES[status](ledger, job)

    async def may(ledger: Ledger, first: Status, second: Status) -> bool:
        job = await bring(ledger, first)
        try:
            changed = await CHANGES[second](ledger, job)
        except (LeaseLost, AssertionError):
            return False
        finally:
            await ledger.dismiss(job.id)  # out of the way of the next
        return changed.status is second

    async def story(ledger: Ledger) -> None:
        for first in Status:
            for second in set(Status) - {first}:
                assert await may(ledger, first, second) == (second in TRANSITIONS[first]), (first, second)

    tell(url, story)


def test_the_highest_priority_is_claimed_first_and_then_the_oldest(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        jobs = [await ledger.accept(order(priority=priority)) for priority in (0, 5, -1, 5, 0)]
        claims = [await claimed(ledger), *await ledger.claim("test", LONG_S, most=3)]
        claims += await ledger.claim("test", LONG_S, most=3)
        assert [job.id for job in claims] == [jobs[index].id for index in (1, 3, 0, 4, 2)]

    tell(url, story)


def test_who_lost_a_lease_is_refused_whatever_it_asks_for(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        await ledger.accept(order())
        late = await claimed(ledger, OVER_S)
        holder = await claimed(ledger)
        assert (holder.id, holder.attempts) == (late.id, 2)
        for attempt in (
            ledger.renew(late, LONG_S),
            ledger.progress(late, LONG_S, step=1, progress=1),
            ledger.finish(late, piece(late.id)),
            ledger.fail(late, FAILURE),
            ledger.release(late),
        ):
            with pytest.raises(LeaseLost, match="is running, in attempt 2"):
                await attempt
        assert (await ledger.renew(holder, LONG_S)).attempts == 2
        assert (await ledger.finish(holder, piece(late.id, "result"))).result == piece(late.id, "result")
        with pytest.raises(LeaseLost):
            await ledger.finish(late, piece(late.id))

    tell(url, story)


def test_a_lease_that_ran_out_is_still_good_while_nobody_else_wants_the_job(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        await ledger.accept(order())
        slow = await claimed(ledger, OVER_S)
        await ledger.renew(slow, LONG_S)
        assert await ledger.claim("another", LONG_S) == []

    tell(url, story)


def test_a_job_that_kills_whoever_works_on_it_fails_and_one_that_comes_further_does_not(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        await ledger.accept(order())
        for step in range(5):
            job = await claimed(ledger)
            await ledger.progress(job, OVER_S, step=step, progress=1, checkpoint=Checkpoint("c", step))
        for _ in range(2):
            job = await claimed(ledger, OVER_S)
        await ledger.release(job)
        job = await claimed(ledger, OVER_S)
        assert job.attempts == 8
        assert await ledger.claim("test", LONG_S) == []
        failed = await ledger.get(job.id)
        assert failed.status is Status.FAILED and failed.failure is not None
        assert failed.failure.code == "worker_failed" and "3 times" in failed.failure.detail
        assert failed.expires is not None

    tell(url, story, max_fruitless=3)


def test_a_dismissed_job_is_never_claimed_and_its_holder_hears_of_it(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        waiting = await ledger.accept(order())
        assert (await ledger.dismiss(waiting.id)).status is Status.DISMISSED
        await ledger.accept(order())
        job = await claimed(ledger)
        assert job.id != waiting.id
        dismissed = await ledger.dismiss(job.id)
        with pytest.raises(LeaseLost) as lost:
            await ledger.renew(job, LONG_S)
        assert lost.value.job.status is Status.DISMISSED
        assert await ledger.dismiss(job.id) == dismissed
        assert await ledger.claim("test", LONG_S) == []

    tell(url, story)


def test_a_released_job_has_its_old_place_and_its_checkpoint(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        for _ in range(2):
            await ledger.accept(order())
        first = await claimed(ledger)
        await ledger.progress(first, LONG_S, step=3, progress=9, checkpoint=Checkpoint("c", 3))
        await ledger.release(first)
        again = await claimed(ledger)
        assert (again.id, again.checkpoint, again.started) == (first.id, Checkpoint("c", 3), first.started)

    tell(url, story)


@pytest.mark.parametrize("owner", ["ann", None])
def test_the_same_request_is_one_job_however_often_and_at_once_it_comes(url: str, owner: str | None) -> None:
    async def story(ledger: Ledger) -> None:
        requests = [ledger.accept(order(owner=owner, idempotency_key="k"), quota=1) for _ in range(5)]
        jobs = await asyncio.gather(*requests)
        assert len({job.id for job in jobs}) == 1
        with pytest.raises(IdempotencyConflict, match=jobs[0].id):
            await ledger.accept(order(owner=owner, idempotency_key="k", digest="another"))
        assert (await ledger.accept(order(owner="bob", idempotency_key="k"))).id != jobs[0].id
        assert (await ledger.accept(order(owner=owner))).id != jobs[0].id

    tell(url, story)


def test_a_key_has_no_more_unfinished_jobs_than_its_quota_however_many_ask_at_once(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        requests = [ledger.accept(order(owner="ann"), quota=3) for _ in range(8)]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        accepted = [answer for answer in answers if isinstance(answer, Job)]
        assert len(accepted) == 3 and all(isinstance(a, Job | QuotaExceeded) for a in answers)
        await ledger.accept(order(owner="bob"), quota=1)
        await ledger.dismiss(accepted[0].id)
        await ledger.accept(order(owner="ann"), quota=3)

    tell(url, story)


def test_pages_hold_every_job_once_while_others_are_added_and_taken(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        there = [(await ledger.accept(order())).id for _ in range(11)]
        seen, cursor, begun = [], None, False
        while cursor is not None or not begun:
            page = await ledger.page(limit=3, cursor=cursor)
            seen += [job.id for job in page.jobs]
            cursor, begun = page.next, True
            await ledger.accept(order())
            await claimed(ledger)
        assert seen == there[::-1]
        with pytest.raises(InvalidQuery):
            await ledger.page(cursor=new_id())

    tell(url, story)


def test_pages_are_filtered_by_state_model_and_owner(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        details: tuple[dict[str, str], ...] = (
            {"owner": "ann"},
            {"owner": "ann", "model": "other"},
            {"owner": "bob"},
            {},
        )
        ids = [(await ledger.accept(order(**detail))).id for detail in details]
        await claimed(ledger)

        async def found(**filters: str) -> list[int]:
            return [ids.index(job.id) for job in (await ledger.page(limit=9, **filters)).jobs]  # type: ignore[arg-type]

        assert await found() == [3, 2, 1, 0]
        assert await found(owner="ann") == [1, 0]
        assert await found(model="tiny") == [3, 2, 0]
        assert await found(status=Status.RUNNING) == [0]
        assert await found(status=Status.ACCEPTED, owner="ann", model="other") == [1]
        assert await ledger.counts() == {**dict.fromkeys(Status, 0), Status.ACCEPTED: 3, Status.RUNNING: 1}

    tell(url, story)


def test_a_result_past_its_time_is_gone_for_clients_and_named_for_removal_until_it_is_buried(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        asked = order(owner="ann", idempotency_key="k")
        await ledger.accept(asked)
        waiting = await ledger.accept(order())
        await ledger.finish(await claimed(ledger), piece(asked.id, "result"))
        with pytest.raises(JobExpired):
            await ledger.get(asked.id)
        with pytest.raises(JobExpired):
            await ledger.dismiss(asked.id)
        assert [job.id for job in (await ledger.page()).jobs] == [waiting.id]
        for _ in range(2):  # who dies before the files are removed leaves them to the next
            assert [job.result for job in await ledger.expired()] == [piece(asked.id, "result")]
        await ledger.bury([asked.id, waiting.id])
        assert await ledger.expired() == []
        with pytest.raises(JobExpired):
            await ledger.get(asked.id)
        assert (await ledger.get(waiting.id)) == waiting, "only what has expired can be buried"
        again = await ledger.accept(order(owner="ann", idempotency_key="k", digest="another"))
        assert again.id != asked.id, "the key is free again"

    tell(url, story, keep_s=0.0)


def test_what_is_not_there_is_said_to_be_unknown(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        there, nowhere = (await ledger.accept(order())).id, new_id()
        for call in (ledger.get, ledger.dismiss):
            with pytest.raises(UnknownJob):
                await call(nowhere)
        assert await ledger.unknown([there, nowhere]) == {nowhere}

    tell(url, story)


def test_a_database_that_is_busy_for_too_long_is_an_error_and_no_wait_without_end(url: str) -> None:
    async def story(ledger: Ledger) -> None:
        impatient, asked = Ledger(url, keep_s=LONG_S, patience_s=1.0), order(owner="ann", idempotency_key="k")
        with busy(url, "ann"):
            with pytest.raises(LedgerUnavailable):
                await impatient.accept(asked)
            assert (await ledger.page()).jobs == [], "readers do not wait for writers"
        accepted = None
        while accepted is None:  # its patience is short for a machine that is busy, too
            with contextlib.suppress(LedgerUnavailable):
                accepted = await impatient.accept(asked)
        await impatient.close()

    tell(url, story)


def test_ids_cannot_be_guessed_and_stand_in_a_url_as_they_are() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100 and all(re.fullmatch("[0-9a-f]{32}", id) for id in ids)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name"])
def test_a_ledger_lives_in_a_file_or_on_a_server(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///path"):
        Ledger(url, keep_s=1)
