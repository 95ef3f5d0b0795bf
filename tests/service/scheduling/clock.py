"""An event loop whose time passes only when everything waits for it."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer as soon as nothing else is left to do; fails when there is none.

    What waits for ever is an error here, not a hung test.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Simulated seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += seconds


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: SimulatedLoop):
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing ever comes")
        self._loop.advance(timeout)
        return super().select(0)


def simulate(story: Coroutine[Any, Any, None]) -> None:
    """Runs a story in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(story)
