"""Every call about one job, written once, as a flow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import xarray as xr

from ._calls import JSON, read_json, understood
from ._flow import Ask, Flow, Policy, Stream, exchange
from ._frames import frames
from ._job_errors import JobDismissed, JobFailed
from ._job_status import JobStatus
from ._result import Result, Run
from ._text import clean
from ._waiting import Watch

Tell = Callable[[JobStatus], None]


@dataclass(frozen=True)
class JobCalls:
    """The calls about the job `id` under one policy."""

    id: str
    policy: Policy

    def __post_init__(self) -> None:
        if not self.id.strip("."):
            raise ValueError(f"A job's id is what `submit` gave it, but here is {self.id!r}. `jobs()` lists them.")

    @property
    def path(self) -> str:
        """Where the job is."""
        return f"/v1/jobs/{quote(self.id, safe='')}"

    def status(self) -> Flow[JobStatus]:
        """`GET /v1/jobs/{id}`"""
        return self._exchange("GET")

    def cancel(self) -> Flow[JobStatus]:
        """`DELETE /v1/jobs/{id}`"""
        return self._exchange("DELETE")

    def wait(self, timeout: float | None, tell: Tell) -> Flow[JobStatus]:
        """`GET /v1/jobs/{id}` until the job has ended; every state is told."""
        watch = Watch(self.path, self.policy, timeout)
        while not (status := (yield from watch.next())).ended:
            tell(status)
        tell(status)
        return status

    def result(self, run: Run, timeout: float | None, partial: bool) -> Flow[xr.Dataset]:
        """`GET /v1/jobs/{id}/result`, opened when the job has ended."""
        yield from self._ended(timeout, partial)
        return (yield from self._result.open(run))

    def save(self, path: Path, timeout: float | None, partial: bool) -> Flow[None]:
        """`GET /v1/jobs/{id}/result`, into a file when the job has ended."""
        yield from self._ended(timeout, partial)
        yield from self._result.save(path)

    def frames(self) -> Stream[xr.Dataset]:
        """`GET /v1/jobs/{id}/result` as it grows, step by step."""
        return frames(Watch(self.path, self.policy), self._result, check)

    @property
    def _result(self) -> Result:
        return Result(f"{self.path}/result", self.policy)

    def _ended(self, timeout: float | None, partial: bool) -> Flow[None]:
        status = yield from self.wait(timeout, lambda _: None)
        if not partial:
            check(status)

    def _exchange(self, method: str) -> Flow[JobStatus]:
        reply = yield from exchange(Ask(method, self.path, headers={"Accept": JSON}), self.policy)
        return understood(reply, read_json(JobStatus), self.policy)


def check(status: JobStatus) -> None:
    """Nothing, if the job may still succeed or has succeeded.

    Raises:
        JobFailed, JobDismissed: It has not.
    """
    rest = f"`result(partial=True)` and `equifield jobs fetch {status.id} --partial` give what there is of its result."
    if status.status == "failed":
        why = f"{status.failure.detail} ({status.failure.code})" if status.failure else status.message
        raise JobFailed(f"Job {status.id} failed: {clean(why)} {rest}", status)
    if status.status == "dismissed":
        raise JobDismissed(f"Job {status.id} was cancelled. {rest}", status)
