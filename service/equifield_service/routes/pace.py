"""How slowly a body may come, whatever route reads it."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..domain.errors import BodyTooSlow


class Pace:
    """Gives up on a body that trickles, so that it cannot hold its place for as long as its deadline allows.

    Args:
        app: What reads the bodies.
        patience: Seconds that a body may take, whatever its size.
        rate: Bytes per second that keep it welcome after that.
    """

    def __init__(self, app: ASGIApp, *, patience: float, rate: int):
        self._app, self._patience, self._rate = app, patience, rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        until = asyncio.get_running_loop().time() + self._patience
        received, whole = 0, False

        async def in_time() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(until + received / self._rate):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow(received) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, in_time, send)

    def _too_slow(self, received: int) -> BodyTooSlow:
        return BodyTooSlow(
            f"{received} bytes of the body had come after {self._patience + received / self._rate:.3g} s. It may take "
            f"{self._patience:g} s, and longer while {self._rate} bytes come each second. Send it again, faster."
        )
