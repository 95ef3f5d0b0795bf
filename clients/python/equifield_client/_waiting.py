"""How a job is waited for: questions that the service holds until something has changed."""

import math
from dataclasses import replace

from ._calls import JSON, read_json, understood
from ._exceptions import APIConnectionError, APIStatusError
from ._flow import NOT_MODIFIED, Ask, Flow, Policy, Sleep, persist
from ._job_errors import JobTimeout
from ._job_status import JobStatus

LONGEST_HOLD = 30.0  # seconds for which one question is to be held; proxies like to cut silence after a minute
ANSWER = 15.0  # seconds more for the answer; a connection that a machine's sleep has broken is given up then
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
            asked, hold = self._policy.clock(), self._hold()
            try:
                reply = yield from persist(self._ask(hold), self._limited(hold))
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

    def _hold(self) -> int:
        """The whole seconds for which the next question is to be held; the first is answered at once."""
        return 0 if self._etag is None else int(min(LONGEST_HOLD, self._policy.timeout / 2, max(self._left(), 0)))

    def _ask(self, hold: int) -> Ask:
        known = {} if self._etag is None else {"If-None-Match": self._etag}
        prefer = {"Prefer": f"wait={hold}"} if hold else {}
        return Ask("GET", self._path, headers={"Accept": JSON} | known | prefer)

    def _limited(self, hold: int) -> Policy:
        """The policy, but no longer than the time that is left; one answer may always take a second."""
        left = max(self._left(), 1.0)
        retry = replace(self._policy.retry, patience=min(self._policy.retry.patience, left))
        return replace(self._policy, timeout=min(self._policy.timeout, hold + ANSWER, left), retry=retry)

    def _late(self, last: JobStatus) -> JobTimeout:
        done = "" if last.steps is None else f", {last.step} of {last.steps} steps done"
        return JobTimeout(
            f"Job {last.id} has not ended within {self._timeout:g} s: it is {last.status}{done}. It goes on; wait "
            f"again, or come back with `client.job('{last.id}')`.",
            last,
        )
