"""The way of one call, without input or output: what to do is yielded, what came of it is sent in.

A flow is a generator of effects. `Client` and `AsyncClient` are two small drivers that carry the effects out,
so that deadlines, retries and errors are decided here, once.
"""

import email.utils
import json
import logging
import math
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from ._exceptions import BY_CODE, APIConnectionError, APIStatusError, APITimeoutError
from ._text import clean

T = TypeVar("T")
logger = logging.getLogger("equifield_client")

TRANSIENT = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError)
"""Faults of a connection that may pass. The others (a wrong scheme, say) never do."""
NOT_MODIFIED = 304


@dataclass(frozen=True)
class Retry:
    """When a call is tried again, and after how long.

    Every call is safe to repeat: a prediction changes nothing, and each try carries the same
    `Idempotency-Key`. Connection faults are tried again, and answers with one of `statuses`. The n-th pause
    is `initial * 2**n` seconds, at most `longest`, shortened at random by up to a half so that clients do not
    march in step. A `Retry-After` of the service is waited instead, but at most `longest_asked` seconds.
    A pause that would go beyond the client's timeout is not begun: the error is raised at once.

    Waiting for a job and reading its result outlast more: a service that restarts, a laptop that sleeps. They begin
    anew, every `longest` seconds, until there has been no answer for `patience` seconds.

    Attributes:
        limit: How often a call is tried again; 0 means one try only.
        initial: The first pause in seconds.
        longest: The longest pause of our own choice, in seconds.
        longest_asked: The longest pause that the service may ask for, in seconds.
        statuses: The HTTP statuses that are tried again.
        patience: The time in seconds that a job's connection may be down. It begins with the first try that fails, so
            that a machine may sleep for longer.
    """

    limit: int = 3
    initial: float = 0.5
    longest: float = 8.0
    longest_asked: float = 30.0
    statuses: frozenset[int] = frozenset({429, 502, 503, 504})
    patience: float = 600.0

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError(f"`Retry(limit={self.limit})` must be 0 or more; 0 means one try.")
        for name in ("initial", "longest", "longest_asked", "patience"):
            seconds = getattr(self, name)
            if not 0 <= seconds < math.inf:
                raise ValueError(f"`Retry({name}={seconds})` must be a finite number of seconds, 0 or more.")

    def pause(self, tries: int, asked: float | None) -> float:
        """The seconds to wait after try number `tries`, counted from 0; `asked` is what the service asks."""
        if asked is not None:
            return min(asked, self.longest_asked)
        return min(self.initial * 2.0 ** min(tries, 60), self.longest) * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Ask:
    """One request as the service will see it, the same in every try.

    Attributes:
        most: How many bytes of the answer are wanted; the rest of a longer one is not read. None for all.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    most: int | None = None


@dataclass(frozen=True)
class Reply:
    """One answer, read to its end or as far as was wanted; its connection is free again."""

    status: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """What the service calls this request."""
        value: str | None = self.headers.get("x-request-id")
        return value

    @property
    def retry_after(self) -> float | None:
        """The seconds after which the service asks to be tried again, from a number or a date."""
        value = self.headers.get("retry-after", "")
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                return None
        return max(0.0, seconds) if math.isfinite(seconds) else None


@dataclass(frozen=True)
class Send:
    """Effect: send the request and read the whole answer within `timeout` seconds. The reply is a `Reply`."""

    ask: Ask
    timeout: float


@dataclass(frozen=True)
class Sleep:
    """Effect: wait. The reply is None."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Effect: call a function that takes a while (files, NetCDF). The reply is what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Give(Generic[T]):
    """Effect: hand a value to who iterates over the flow. The reply is None."""

    value: T


Effect = Send | Sleep | Work
Flow = Generator[Effect, Any, T]
Stream = Generator[Effect | Give[T], Any, None]


@dataclass(frozen=True)
class Policy:
    """How long a call may take, how often it is tried, and whom it asks (for messages, without secrets)."""

    server: str
    timeout: float
    retry: Retry
    clock: Callable[[], float] = time.monotonic


def work(function: Callable[[], T]) -> Flow[T]:
    """The flow of one piece of blocking work."""
    result: T = yield Work(function)
    return result


def exchange(ask: Ask, policy: Policy) -> Flow[Reply]:
    """Sends a request until it succeeds, can't, or has used up its tries or its time.

    That nothing has changed (304) is a success: it was asked for.

    Raises:
        APIConnectionError: The last try had no answer.
        APIStatusError: The last answer was not a success.
    """
    deadline, tries = policy.clock() + policy.timeout, 0
    while True:
        reply: Reply | None = None
        fault: httpx.RequestError | None = None
        try:
            reply = yield Send(ask, max(deadline - policy.clock(), 0.001))
        except httpx.RequestError as error:
            fault = error
        tries += 1
        if reply is not None and (200 <= reply.status < 300 or reply.status == NOT_MODIFIED):
            return reply
        pause = policy.retry.pause(tries - 1, reply.retry_after if reply else None)
        passing = reply.status in policy.retry.statuses if reply else isinstance(fault, TRANSIENT)
        if not passing or tries > policy.retry.limit or policy.clock() + pause >= deadline:
            break
        logger.info("%s %s: %s; again in %.1f s", ask.method, ask.path, reply or repr(fault), pause)
        yield Sleep(pause)
    if reply is not None:
        raise status_error(reply)
    raise connection_error(ask, policy, tries, fault) from fault


def persist(ask: Ask, policy: Policy) -> Flow[Reply]:
    """Like `exchange`, again and again, until there was no answer for as long as the policy's patience.

    Raises:
        APIConnectionError: There was no answer for so long.
        APIStatusError: The last answer was not a success.
    """
    down: float | None = None
    while True:
        try:
            return (yield from exchange(ask, policy))
        except (APIConnectionError, APIStatusError) as error:
            down = policy.clock() if down is None else down
            left = down + policy.retry.patience - policy.clock()
            if left <= 0 or not may_pass(error, policy.retry):
                raise
            logger.warning("%s %s: %s; patient for %.0f s more", ask.method, ask.path, error, left)
        yield Sleep(min(policy.retry.longest, left))


def may_pass(error: APIConnectionError | APIStatusError, retry: Retry) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, APIStatusError):
        return error.status_code in retry.statuses
    return isinstance(error.__cause__, TRANSIENT)


def connection_error(ask: Ask, policy: Policy, tries: int, fault: httpx.RequestError | None) -> APIConnectionError:
    """The error for a call that got no answer."""
    times = f"{tries} {'try' if tries == 1 else 'tries'}"
    if isinstance(fault, httpx.TimeoutException):
        return APITimeoutError(
            f"{ask.method} {policy.server}{ask.path} gave no answer in time: {times} within "
            f"{policy.timeout:g} s. Give the client a larger `timeout`, or send fewer samples at once."
        )
    return APIConnectionError(
        f"No answer from {policy.server} in {times}: {str(fault) or type(fault).__name__}. Is the service "
        f"running there? `equifield serve` starts one; `base_url` (or `--url`) names another."
    )


def status_error(reply: Reply) -> APIStatusError:
    """The typed error for an answer that is not a success."""
    problem = problem_of(reply)
    given = problem.get("code")
    code = clean(given) if isinstance(given, str) else None
    detail = problem.get("detail") or problem.get("title")
    if not isinstance(detail, str):
        detail = "The answer carries no description: perhaps a proxy gave it, not the service."
    kind = BY_CODE.get(code or "", APIStatusError)
    return kind(
        reply.status,
        clean(detail),
        code=code,
        request_id=clean(reply.request_id or str(problem.get("request_id") or "")) or None,
        problem=problem,
        retry_after=reply.retry_after,
    )


def problem_of(reply: Reply) -> dict[str, Any]:
    """The problem document of an answer; empty if it has none."""
    if "json" not in reply.headers.get("content-type", ""):
        return {}
    try:
        problem = json.loads(reply.content)
    except (ValueError, RecursionError):  # not JSON, not even text, or nested without end
        return {}
    return problem if isinstance(problem, dict) else {}
