"""How a job is waited for: questions that the service holds until something has changed."""

import math
from dataclasses import replace

from ._calls import JSON, read_json, understood
from ._exceptions import APIConnectionError, APIStatusError, JobTimeout
from ._flow import NOT_MODIFIED, Ask, Flow, Policy, Sleep, persist
from ._job_status import JobStatus

LONGEST_HOLD = 30.0  # seconds for which one question is to be held; proxies like to cut silence after a minute
LATE_BY = 0.05  # of the time waited so far passes between two questions, and at most:
LONGEST_PAUSE = 0.5  # seconds, so that a job with many short steps is not asked after for each of them


class Watch:
    """One job, watched: each of its states that differs from the last, soon after it is there.

    Outlasts faults of the network and of the service for as long as the policy's patience.
    """

    def __init__(self, path: str, policy: Policy, timeout: float | None = None):
        self._path, self._policy = path, policy
        self._began = policy.clock()
        self._deadline = math.inf if timeout is None else self._began + timeout
        self._timeout = timeout
        self._etag: str | None = None
        self._last: JobStatus | None = None

    def next(self) -> Flow[JobStatus]:
        """The next state; the first one at once.

        Raises:
            JobTimeout: There was none in time.
            EquifieldError: The service gave no answer, or refused.
        """
        if self._last is not None:
            yield from self._pause(min(LONGEST_PAUSE, LATE_BY * (self._policy.clock() - self._began)), self._last)
        while True:
            asked = self._policy.clock()
            try:
                reply = yield from persist(self._ask(), self._limited())
            except (APIConnectionError, APIStatusError) as error:
                if self._last is not None and self._left() <= 0:
                    raise self._late(self._last) from error
                raise
            if self._last is None or reply.status != NOT_MODIFIED:
                self._etag = reply.headers.get("etag")
                self._last = understood(reply, read_json(JobStatus), self._policy)
                return self._last
            held = self._policy.clock() - asked
            yield from self._pause(max(0.0, LONGEST_PAUSE - held), self._last)

    def _left(self) -> float:
        return self._deadline - self._policy.clock()

    def _pause(self, seconds: float, last: JobStatus) -> Flow[None]:
        if self._left() <= 0:
            raise self._late(last)
        yield Sleep(min(seconds, self._left()))

    def _ask(self) -> Ask:
        headers = {"Accept": JSON}
        hold = int(min(LONGEST_HOLD, self._policy.timeout / 2, self._left()))
        if self._etag is not None:
            headers |= {"If-None-Match": self._etag} | ({"Prefer": f"wait={hold}"} if hold >= 1 else {})
        return Ask("GET", self._path, headers=headers)

    def _limited(self) -> Policy:
        """The policy, but no longer than the time that is left; one answer may always take a second."""
        left = max(self._left(), 1.0)
        patience = min(self._policy.retry.patience, left)
        retry = replace(self._policy.retry, patience=patience)
        return replace(self._policy, timeout=min(self._policy.timeout, left), retry=retry)

    def _late(self, last: JobStatus) -> JobTimeout:
        done = "" if last.steps is None else f", {last.step} of {last.steps} steps done"
        return JobTimeout(
            f"Job {last.id} has not ended within {self._timeout:g} s: it is {last.status}{done}. It goes on; wait "
            f"again, or come back with `client.job('{last.id}')`.",
            last,
        )
