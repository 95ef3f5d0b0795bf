"""The channel, with real processes on its other end."""

import asyncio
import json
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from equifield_service.arenas import ArenaFull
from equifield_service.channel import Child, ChildDied, ChildKilled, ChildTimeout
from equifield_service.domain.errors import VariableMissing
from tests.service import children

SPAWN = multiprocessing.get_context("spawn")
ARENA = 2**20
Held = Callable[[], set[Path]]


@asynccontextmanager
async def running(target: Callable[..., None] = children.echo, *arguments: Any, slots: int = 1) -> AsyncIterator[Child]:
    child = await Child.start(
        SPAWN, target, arguments or ("hello",), name="child", arena_bytes=ARENA, timeout=60, slots=slots
    )
    try:
        yield child
    finally:
        await child.kill()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_the_memory_of_a_running_child_can_be_seen(shared_memory: Held) -> None:
    async def story() -> None:
        async with running():
            assert len(shared_memory()) == 2

    run(story)


def test_arrays_of_several_types_and_shapes_come_back_as_copies() -> None:
    async def story() -> None:
        async with running() as child:
            assert child.ready == {"greeting": "hello"}
            arrays: list[npt.NDArray[Any]] = [
                np.arange(6, dtype=np.float32).reshape(2, 3),
                np.arange(3, dtype=np.float64)[::-1],
                np.zeros((0, 4), np.float32),
                np.array(5, dtype=np.int16),
            ]
            message, first = await child.call({"do": "double"}, arrays, timeout=60)
            _, second = await child.call({"do": "double"}, [np.full(9, 7.0)], timeout=60)
            assert message == {"count": 4}
            for sent, received in zip(arrays, first, strict=True):
                assert received.dtype == sent.dtype
                np.testing.assert_array_equal(received, sent * 2)
            np.testing.assert_array_equal(second[0], np.full(9, 14.0))

    run(story)


def test_concurrent_calls_each_get_their_own_answer() -> None:
    async def story() -> None:
        async with running() as child:
            calls = [child.call({"do": "double"}, [np.full(4, float(n))], timeout=60) for n in range(20)]
            for n, (_, arrays) in enumerate(await asyncio.gather(*calls)):
                np.testing.assert_array_equal(arrays[0], np.full(4, 2.0 * n))

    run(story)


def test_a_domain_error_crosses_the_border_whole_and_the_child_goes_on() -> None:
    async def story() -> None:
        async with running() as child:
            with pytest.raises(VariableMissing, match="there is no 'u'") as refusal:
                await child.call({"do": "refuse"}, timeout=60)
            assert refusal.value.extra == {"variables": ["v"]}
            assert (await child.call({"n": 1}, timeout=60))[0]["echo"] == {"n": 1}

    run(story)


def test_a_crash_in_a_call_is_reported_and_seen() -> None:
    async def story() -> None:
        async with running() as child:
            with pytest.raises(ChildKilled):
                await child.call({"do": "crash"}, timeout=60)
            await child.ended()
            assert not child.alive
            with pytest.raises(ChildDied):
                await child.call({}, timeout=60)

    run(story)


def test_the_death_of_an_idle_child_is_noticed() -> None:
    async def story() -> None:
        async with running() as child:
            assert child.process.pid is not None
            os.kill(child.process.pid, signal.SIGKILL)
            await child.ended()
            assert not child.alive

    run(story)


def test_a_late_answer_is_never_given_to_a_later_call() -> None:
    async def story() -> None:
        async with running(slots=2) as child:
            with pytest.raises(ChildTimeout, match=r"within 0\.05 s"):
                await child.call({"do": "double when released"}, [np.ones(3)], timeout=0.05)
            assert (await child.call({"do": "release"}, timeout=60))[0] == {"released": 1}
            assert (await child.call({"n": 2}, timeout=60))[0]["echo"] == {"n": 2}

    run(story)


def test_a_call_that_gave_up_keeps_its_memory_until_its_answer_has_come() -> None:
    async def story() -> None:
        async with running(slots=2) as child:
            call = asyncio.create_task(child.call({"do": "double when released"}, [np.ones(3)], timeout=60))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            for n in range(3):
                _, (doubled,) = await child.call({"do": "double"}, [np.full(3, float(n))], timeout=60)
                np.testing.assert_array_equal(doubled, np.full(3, 2.0 * n))
            await child.call({"do": "release"}, timeout=60)

    run(story)


def test_answers_come_in_the_order_in_which_they_are_known() -> None:
    async def story() -> None:
        async with running(slots=3) as child:
            slow = asyncio.create_task(child.call({"do": "double when released"}, [np.full(2, 5.0)], timeout=60))
            _, (quick,) = await child.call({"do": "double"}, [np.full(2, 6.0)], timeout=60)
            assert not slow.done()
            await child.call({"do": "release"}, timeout=60)
            np.testing.assert_array_equal((await slow)[1][0], np.full(2, 10.0))
            np.testing.assert_array_equal(quick, np.full(2, 12.0))

    run(story)


def test_a_child_whose_slots_are_all_taken_answers_the_next_call_when_one_is_free() -> None:
    async def story() -> None:
        async with running(slots=1) as child:
            with pytest.raises(ChildTimeout):
                await child.call({"do": "double when released"}, [np.ones(3)], timeout=0.05)
            with pytest.raises(ChildTimeout):  # the slot is still taken
                await child.call({"n": 1}, timeout=0.05)

    run(story)


def test_a_fault_in_the_background_of_a_child_ends_it() -> None:
    async def story() -> None:
        async with running(slots=2) as child:
            failing = asyncio.create_task(child.call({"do": "fail when released"}, timeout=60))
            await asyncio.sleep(0)
            with pytest.raises(ChildDied):
                await child.call({"do": "release"}, timeout=60)
            with pytest.raises(ChildDied):
                await failing

    run(story)


def test_arrays_that_do_not_fit_are_refused_before_anything_is_sent() -> None:
    async def story() -> None:
        async with running() as child:
            with pytest.raises(ArenaFull):
                await child.call({"do": "double"}, [np.zeros(ARENA + 1, np.uint8)], timeout=60)
            assert (await child.call({"n": 3}, timeout=60))[0]["echo"] == {"n": 3}

    run(story)


def test_an_answer_larger_than_the_arena_ends_the_child_and_not_the_gateway() -> None:
    async def story() -> None:
        async with running() as child:
            with pytest.raises(ChildDied) as death:
                await child.call({"do": "flood"}, timeout=60)
            assert death.type is ChildDied

    run(story)


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[1]",
        "{}",
        json.dumps({"id": 1, "message": {}, "arrays": []}),
        json.dumps({"id": [0], "message": {}, "arrays": []}),
        json.dumps({"id": 0, "message": {}, "arrays": [{"dtype": "<f8", "shape": [2**60], "offset": 0}]}),
        json.dumps({"id": 0, "message": {}, "arrays": [{"dtype": "<f8", "shape": [2**80], "offset": 0}]}),
        json.dumps({"id": 0, "message": {}, "arrays": [{"dtype": "<f8", "shape": [4], "offset": ARENA - 8}]}),
        json.dumps({"id": 0, "message": {}, "arrays": [{"dtype": "<f8", "shape": [4], "offset": -64}]}),
        json.dumps({"id": 0, "message": {}, "arrays": [{"dtype": "O", "shape": [4], "offset": 0}]}),
        json.dumps({"id": 0, "message": {}, "arrays": [{"dtype": "V0", "shape": [2**60], "offset": 0}]}),
        json.dumps({"id": 0, "message": {}, "arrays": [{"dtype": "f4,(2", "shape": [4], "offset": 0}]}),
        json.dumps({"id": 0, "message": {}, "arrays": [{"dtype": "<f8", "shape": [-4], "offset": 0}]}),
        json.dumps({"id": 0, "message": {}, "arrays": [7]}),
        json.dumps({"id": 0, "error": {"code": "x", "detail": "y", "extra": 3}}),
        json.dumps({"id": 0, "error": {"code": "x", "detail": "y", "extra": {"detail": "z"}}}),
        json.dumps({"id": 0, "error": 3}),
        json.dumps({"id": 0, "message": {"too": "long" * 2**22}, "arrays": []}),
        "[" * 10**5,
    ],
    ids=[
        "not-json",
        "not-an-object",
        "empty",
        "nobody-asked",
        "id-not-a-number",
        "huge-shape",
        "overflowing-shape",
        "past-the-end",
        "before-the-start",
        "object-dtype",
        "dtype-of-no-bytes",
        "dtype-no-expression",
        "negative-shape",
        "place-not-an-object",
        "extra-not-an-object",
        "extra-clashes",
        "error-not-an-object",
        "line-too-long",
        "line-too-deep",
    ],
)
def test_a_child_that_lies_is_a_dead_child_and_frees_its_memory(line: str, shared_memory: Held) -> None:
    async def story() -> None:
        async with running(children.liar, line) as child:
            with pytest.raises(ChildDied):
                await child.call({}, timeout=60)

    run(story)
    assert not shared_memory()


@pytest.mark.parametrize(
    ("target", "error", "timeout"),
    [(children.dies_at_once, ChildDied, 60.0), (children.never_ready, ChildTimeout, 0.05)],
    ids=["dies", "never-ready"],
)
def test_a_child_that_does_not_start_leaves_nothing_behind(
    target: Callable[..., None], error: type[Exception], timeout: float, shared_memory: Held
) -> None:
    async def story() -> None:
        with pytest.raises(error):
            await Child.start(SPAWN, target, (), name="child", arena_bytes=ARENA, timeout=timeout)

    run(story)
    assert not shared_memory()


def test_a_child_for_which_there_is_no_memory_does_not_start_and_leaves_nothing_behind(shared_memory: Held) -> None:
    async def story() -> None:
        with pytest.raises(ChildDied, match="cannot be started"):
            await Child.start(SPAWN, children.echo, (), name="child", arena_bytes=2**62, timeout=60)

    run(story)
    assert not shared_memory()


def test_killing_twice_is_safe_and_frees_the_memory(shared_memory: Held) -> None:
    async def story() -> None:
        async with running() as child:
            await child.kill()

    run(story)
    assert not shared_memory()
