"""A body may take its time, but not for ever."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from equifield_service.domain.errors import BodyTooSlow
from equifield_service.routes.pace import Pace
from tests.service.scheduling.clock import simulate


class Source:
    """A body that comes in pieces, each at its time."""

    def __init__(self, times: list[float], size: int):
        self._times, self._size = times, size
        self._began: float | None = None

    async def __call__(self) -> Message:
        loop = asyncio.get_running_loop()
        self._began = loop.time() if self._began is None else self._began
        if not self._times:
            return {"type": "http.disconnect"}
        due = self._times.pop(0)
        await asyncio.sleep(self._began + due - loop.time())
        return {"type": "http.request", "body": bytes(self._size), "more_body": bool(self._times)}


def received(source: Source, *, patience: float, rate: int, then: int = 0) -> int:
    """The bytes that an app gets which reads the whole body, and goes on to listen for a hang-up."""
    total = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal total
        more = True
        while more:
            message = await receive()
            total, more = total + len(message["body"]), message["more_body"]
        for _ in range(then):
            await receive()

    async def unsent(message: Message) -> None:
        raise AssertionError(message)

    simulate(Pace(app, patience=patience, rate=rate)({"type": "http"}, source, unsent))
    return total


def test_a_body_within_its_time_passes_however_slow() -> None:
    assert received(Source([0.0, 0.05], 1), patience=30, rate=1) == 2


def test_a_body_after_its_time_passes_while_its_rate_is_kept() -> None:
    times = [0.02 * step for step in range(10)]
    assert received(Source(times, 1000), patience=0.1, rate=10_000) == 10_000


def test_a_body_that_trickles_is_given_up() -> None:
    with pytest.raises(BodyTooSlow, match="bytes of the body had come after 0.1"):
        received(Source([0.02 * step for step in range(1000)], 1), patience=0.1, rate=10_000)


def test_listening_for_a_hang_up_after_the_body_has_no_limit() -> None:
    class Late(Source):
        async def __call__(self) -> Message:
            if not self._times:
                await asyncio.sleep(0.1)
            return await super().__call__()

    assert received(Late([0.0], 5), patience=0.05, rate=10_000, then=1) == 5
