"""The ledger against a model of it that fits on a page, under whatever is asked in whatever order."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from equifield_service.domain.errors import IdempotencyConflict, QuotaExceeded
from equifield_service.domain.jobs import Checkpoint, Failure, Job, LeaseLost, Ledger, Status
from tests.service.jobs.running import LONG_S, OVER_S, order, piece, tell

QUOTA, MAX_FRUITLESS = 3, 2
KEYS = st.sampled_from([None, "k"])
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


class Machine(RuleBasedStateMachine):
    """Asks the ledger and the model the same."""

    template: Path
    claims: Bundle[Any] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "jobs.sqlite")
        self.runner = asyncio.Runner()
        url = f"sqlite:///{self.folder}/jobs.sqlite"
        self.ledger = Ledger(url, keep_s=LONG_S, max_fruitless=MAX_FRUITLESS)
        self.jobs: dict[str, Known] = {}

    def teardown(self) -> None:
        self.runner.run(self.ledger.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(
        owner=st.sampled_from("ab"),
        key=st.sampled_from([None, "k"]),
        digest=st.sampled_from("de"),
        priority=st.integers(0, 1),
    )
    def accept(self, owner: str, key: str | None, digest: str, priority: int) -> None:
        asked = order(owner=owner, idempotency_key=key, digest=digest, priority=priority)
        same = [id for id, job in self.jobs.items() if key and (job.owner, job.key) == (owner, key)]
        unfinished = [job for job in self.jobs.values() if job.owner == owner and job.status not in FINAL]
        try:
            job = self.runner.run(self.ledger.accept(asked, quota=QUOTA))
        except IdempotencyConflict:
            assert self.jobs[same[0]].digest != digest
        except QuotaExceeded:
            assert not same and len(unfinished) == QUOTA
        else:
            assert job.id == (same[0] if same else asked.id)
            self.jobs.setdefault(job.id, Known(owner, key, digest, priority))

    @rule(target=claims, is_late=st.booleans())
    def claim(self, is_late: bool) -> Job | None:
        for known in self.jobs.values():
            if known.status is Status.RUNNING and known.is_late:
                known.fruitless += 1
                known.status = Status.FAILED if known.fruitless >= MAX_FRUITLESS else Status.ACCEPTED
        waiting = [
            (-job.priority, place, id)
            for place, (id, job) in enumerate(self.jobs.items())
            if job.status is Status.ACCEPTED
        ]
        job = self.runner.run(self.ledger.claim("test", OVER_S if is_late else LONG_S))
        assert (job and job.id) == (min(waiting)[2] if waiting else None)
        if job is not None:
            known = self.jobs[job.id]
            known.status, known.is_late, known.attempts = Status.RUNNING, is_late, known.attempts + 1
        return job

    @rule(job=claims, call=st.sampled_from(["renew", "progress", "finish", "fail", "release"]))
    def work(self, job: Job | None, call: str) -> None:
        if job is None:
            return
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
            self.runner.run(calls[call]())
        except LeaseLost as lost:
            assert not is_held and lost.job.status is known.status
        else:
            assert is_held or known.status is ends.get(call), "twice is once"
            known.status = ends.get(call, known.status)
            known.is_late = known.is_late and call not in ("renew", "progress")
            known.fruitless = 0 if call == "progress" else known.fruitless

    @rule(place=st.integers(0, 9))
    def dismiss(self, place: int) -> None:
        for id in list(self.jobs)[place : place + 1]:
            known = self.jobs[id]
            known.status = known.status if known.status in FINAL else Status.DISMISSED
            assert self.runner.run(self.ledger.dismiss(id)).status is known.status

    @invariant()
    def agrees(self) -> None:
        page = self.runner.run(self.ledger.page(limit=1000))
        told = {job.id: (job.status, job.attempts) for job in reversed(page.jobs)}
        assert list(told.items()) == [(id, (job.status, job.attempts)) for id, job in self.jobs.items()]


async def nothing(ledger: Ledger) -> None:
    """A story of a start."""


@pytest.mark.parametrize("examples", [12, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_the_ledger_does_what_its_model_does(tmp_path: Path, examples: int) -> None:
    Machine.template = tmp_path / "template.sqlite"
    tell(f"sqlite:///{Machine.template}", nothing)
    thorough = settings(max_examples=examples, stateful_step_count=25, deadline=None, derandomize=True, database=None)
    run_state_machine_as_test(Machine, settings=settings(thorough, suppress_health_check=list(HealthCheck)))
