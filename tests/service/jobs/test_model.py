"""The ledger against a model of it that fits on a page, under whatever is asked in whatever order."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from equifield_service.domain.errors import IdempotencyConflict, QuotaExceeded
from equifield_service.domain.jobs import Checkpoint, Failure, Job, LeaseLost, Ledger, Status
from tests.service.jobs.running import LONG_S, OVER_S, order, piece, tell

QUOTA, MAX_FRUITLESS = 3, 2
CALLS = ("renew", "progress", "finish", "fail", "release")
FINAL = {Status.SUCCESSFUL, Status.FAILED, Status.DISMISSED}


@dataclass
class Known:
    """All that matters of a job."""

    owner: str
    key: str | None
    digest: str
    priority: int
    status: Status = Status.ACCEPTED
    attempts: int = 0
    fruitless: int = 0
    is_late: bool = False


class Walk:
    """Asks the ledger and the model the same, at random."""

    def __init__(self, ledger: Ledger, seed: int):
        self.ledger, self.random = ledger, random.Random(seed)
        self.jobs: dict[str, Known] = {}
        self.claims: list[Job] = []

    async def go(self, steps: int) -> None:
        """So many random steps, after each of which ledger and model must agree."""
        for _ in range(steps):
            await self.random.choices((self.accept, self.claim, self.work, self.dismiss), (3, 3, 6, 1))[0]()
            await self.agree()

    async def accept(self) -> None:
        owner, digest, key = self.random.choice("ab"), self.random.choice("de"), self.random.choice((None, "k"))
        priority = self.random.randrange(2)
        asked = order(owner=owner, idempotency_key=key, digest=digest, priority=priority)
        same = [id for id, job in self.jobs.items() if key and (job.owner, job.key) == (owner, key)]
        unfinished = [job for job in self.jobs.values() if job.owner == owner and job.status not in FINAL]
        try:
            job = await self.ledger.accept(asked, quota=QUOTA)
        except IdempotencyConflict:
            assert self.jobs[same[0]].digest != digest
        except QuotaExceeded:
            assert not same and len(unfinished) == QUOTA
        else:
            assert job.id == (same[0] if same else asked.id)
            self.jobs.setdefault(job.id, Known(owner, key, digest, priority))

    async def claim(self) -> None:
        is_late = self.random.random() < 0.5
        for known in self.jobs.values():
            if known.status is Status.RUNNING and known.is_late:
                known.fruitless += 1
                known.status = Status.FAILED if known.fruitless >= MAX_FRUITLESS else Status.ACCEPTED
        waiting = [
            (-job.priority, place, id)
            for place, (id, job) in enumerate(self.jobs.items())
            if job.status is Status.ACCEPTED
        ]
        most = self.random.randint(1, 3)
        claims = await self.ledger.claim("test", OVER_S if is_late else LONG_S, most=most)
        assert [job.id for job in claims] == [id for _, _, id in sorted(waiting)[:most]]
        for job in claims:
            known = self.jobs[job.id]
            known.status, known.is_late, known.attempts = Status.RUNNING, is_late, known.attempts + 1
            self.claims.append(job)

    async def work(self) -> None:
        if not self.claims:
            return
        job, call = self.random.choice(self.claims[-4:]), self.random.choice(CALLS)
        known = self.jobs[job.id]
        calls = {
            "renew": lambda: self.ledger.renew(job, LONG_S),
            "progress": lambda: self.ledger.progress(job, LONG_S, step=1, progress=1, checkpoint=Checkpoint("c", 1)),
            "finish": lambda: self.ledger.finish(job, piece(job.id, f"result-{job.attempts}")),
            "fail": lambda: self.ledger.fail(job, Failure("worker_failed", f"attempt {job.attempts}")),
            "release": lambda: self.ledger.release(job),
        }
        ends = {"finish": Status.SUCCESSFUL, "fail": Status.FAILED, "release": Status.ACCEPTED}
        is_held = known.status is Status.RUNNING and known.attempts == job.attempts
        try:
            await calls[call]()
        except LeaseLost as lost:
            assert not is_held and lost.job.status is known.status
        else:
            assert is_held or known.status is ends.get(call), "twice is once"
            known.status = ends.get(call, known.status)
            known.is_late = known.is_late and call not in ("renew", "progress")
            known.fruitless = 0 if call == "progress" else known.fruitless

    async def dismiss(self) -> None:
        for id in self.random.sample(list(self.jobs), min(1, len(self.jobs))):
            known = self.jobs[id]
            known.status = known.status if known.status in FINAL else Status.DISMISSED
            assert (await self.ledger.dismiss(id)).status is known.status

    async def agree(self) -> None:
        page = await self.ledger.page(limit=1000)
        told = {job.id: (job.status, job.attempts) for job in reversed(page.jobs)}
        assert list(told.items()) == [(id, (job.status, job.attempts)) for id, job in self.jobs.items()]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 100))])
def test_the_ledger_does_what_its_model_does(tmp_path: Path, seed: int) -> None:
    async def story(ledger: Ledger) -> None:
        await Walk(ledger, seed).go(200)

    tell(f"sqlite:///{tmp_path}/jobs.sqlite", story, max_fruitless=MAX_FRUITLESS)
