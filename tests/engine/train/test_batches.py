"""Batches read ahead are the same batches; their thread ends, whatever happens."""

import gc
import threading

import numpy as np
import pytest
from jaxtyping import Int

from equifield.train.data import Arrays, batches

NUMBERS = Arrays(np.arange(10))
LONG = 30.0
"""Seconds after which something is said to hang."""


def readers() -> int:
    return sum(thread.name.startswith("equifield-batches") for thread in threading.enumerate())


@pytest.mark.parametrize("prefetch", [0, 1, 2, 9])
def test_reading_ahead_changes_nothing(prefetch: int) -> None:
    order = np.random.default_rng(0).permutation(10)
    read = list(batches(NUMBERS, order, 4, prefetch=prefetch))
    assert [len(batch) for batch in read] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(read), order)
    assert readers() == 0


class Gated:
    """Samples of which a batch is read when there is leave, and which say what was begun."""

    def __init__(self) -> None:
        self.begun, self.leave = list[int](), threading.Semaphore(0)
        self.started = threading.Semaphore(0)

    def __len__(self) -> int:
        return 10

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> Int[np.ndarray, " batch"]:
        self.begun.append(int(chosen[0]))
        self.started.release()
        assert self.leave.acquire(timeout=LONG)
        return chosen


def test_the_next_batches_are_read_while_the_caller_works() -> None:
    samples = Gated()
    read = batches(samples, np.arange(10), 1, prefetch=2)
    assert samples.begun == [], "nothing is read before it is asked for"
    for _ in range(3):
        samples.leave.release()
    assert next(read)[0] == 0
    for _ in range(3):
        assert samples.started.acquire(timeout=LONG)
    assert samples.begun == [0, 1, 2], "two ahead of the one in hand, no more"
    for _ in range(2):
        samples.leave.release()
    read.close()  # type: ignore[attr-defined]


class Failing:
    """Samples of which one cannot be read."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> Int[np.ndarray, " batch"]:
        if 5 in chosen:
            raise OSError("the disk is gone")
        return chosen


@pytest.mark.parametrize("prefetch", [0, 3])
def test_what_reading_raises_arrives_in_its_place(prefetch: int) -> None:
    read = batches(Failing(), np.arange(10), 2, prefetch=prefetch)
    np.testing.assert_array_equal([next(read), next(read)], [[0, 1], [2, 3]])
    with pytest.raises(OSError, match="the disk is gone"):
        next(read)
    with pytest.raises(StopIteration):
        next(read)
    assert readers() == 0


def test_the_thread_ends_with_an_iterator_that_is_dropped() -> None:
    read = batches(NUMBERS, np.arange(10), 1)
    next(read)
    assert readers() == 1, "else this test shows nothing"
    del read
    gc.collect()
    assert readers() == 0


def test_the_thread_ends_when_the_caller_fails() -> None:
    def work() -> None:
        for batch in batches(NUMBERS, np.arange(10), 1):
            raise RuntimeError(f"no use for {batch}")

    with pytest.raises(RuntimeError, match="no use"):
        work()
    gc.collect()
    assert readers() == 0


def test_batches_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample per batch"):
        batches(NUMBERS, np.arange(10), 0)
