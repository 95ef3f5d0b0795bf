"""Work for a client who hangs up ends; what comes after the answer goes on."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from equifield_service.routes.reading import while_wanted


def request(gone: asyncio.Event) -> Request:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": []}, receive)


def test_who_hangs_up_while_the_answer_is_there_does_not_disturb_what_follows() -> None:
    async def story() -> None:
        gone = asyncio.Event()

        async def answer() -> int:
            gone.set()
            await asyncio.sleep(0)  # the hang-up is seen now, and tells in the next turn of the loop
            return 42

        assert await while_wanted(request(gone), answer()) == 42
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(story())


def test_somebody_elses_cancellation_is_no_hang_up() -> None:
    async def story() -> None:
        waiting = asyncio.ensure_future(while_wanted(request(asyncio.Event()), asyncio.sleep(60)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(story())


def test_control_a_hang_up_before_the_answer_ends_the_work() -> None:
    async def story() -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().call_soon(gone.set)
        with pytest.raises(ClientDisconnect):
            await while_wanted(request(gone), asyncio.sleep(60))

    asyncio.run(story())
