"""The simulated clock itself."""

import asyncio
import time

import pytest

from tests.service.scheduling.clock import simulate


def test_a_thousand_seconds_pass_at_once() -> None:
    async def story() -> None:
        await asyncio.sleep(1000)
        assert asyncio.get_running_loop().time() == pytest.approx(1000)

    began = time.perf_counter()
    simulate(story())
    assert time.perf_counter() - began < 60


def test_a_wait_without_end_is_an_error() -> None:
    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing ever comes"):
        simulate(story())
