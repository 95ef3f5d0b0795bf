"""Shared memory is promised only where there is some, and held no longer than a large message needs it."""

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest

from equifield_service.arenas import (
    LARGE,
    ArenaFull,
    arena_that_fits,
    first_array,
    new_arena,
    release,
    view_arrays,
    write_arrays,
)

ARENA = 2**20


@asynccontextmanager
async def arena_of(size: int) -> AsyncIterator[SharedMemory]:
    async with contextlib.AsyncExitStack() as undo:
        yield new_arena(size, undo)


def held(arena: SharedMemory) -> int:
    return Path("/dev/shm", arena.name.lstrip("/")).stat().st_blocks * 512


def test_shared_memory_is_never_promised_beyond_what_the_machine_has() -> None:
    room = os.statvfs("/dev/shm")
    assert arena_that_fits(ARENA, 1) == ARENA
    fits = arena_that_fits(2**60, 10)
    assert 0 < 10 * fits <= room.f_blocks * room.f_frsize


@pytest.mark.anyio
@pytest.mark.parametrize(("size", "kept"), [(LARGE + 1, False), (LARGE, True)], ids=["large", "small"])
async def test_the_memory_of_a_large_message_is_given_back(size: int, kept: bool) -> None:
    async with arena_of(2 * LARGE) as arena:
        write_arrays(arena, [np.ones(size, np.uint8)])
        assert held(arena) >= size
        release(arena, size)
        assert (held(arena) >= size) == kept
        places = write_arrays(arena, [np.full(size, 3, np.uint8)])
        assert (view_arrays(arena, places)[0] == 3).all()


@pytest.mark.anyio
async def test_what_is_made_in_shared_memory_lies_where_it_is_sent_from() -> None:
    async with arena_of(ARENA) as arena:
        made = first_array(arena, [4, 8], np.float32)
        made[...] = np.arange(32).reshape(4, 8)
        [place, _] = write_arrays(arena, [made.reshape(8, 4), np.zeros(3)])
        [view] = view_arrays(arena, [place])
        assert np.shares_memory(made, view)
        np.testing.assert_array_equal(view.ravel(), np.arange(32))


@pytest.mark.anyio
async def test_an_array_that_does_not_fit_is_not_made() -> None:
    async with arena_of(ARENA) as arena:
        with pytest.raises(ArenaFull):
            first_array(arena, [ARENA // 4 + 1], np.float32)
