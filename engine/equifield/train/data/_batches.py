"""Batches, read while the device computes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Int

from ._samples import Samples


def batches(
    samples: Samples, order: Int[np.ndarray, " samples"], batch_size: int, *, prefetch: int = 2
) -> Iterator[Any]:
    """The samples in this order, in batches of `batch_size`; the last may be smaller.

    A thread reads the next batches while the caller works on one. It ends with the iterator: when that is exhausted,
    closed or dropped, or when reading fails; what reading raised is raised here, in the place of the batch.

    **Arguments:**

    - samples: what to read.
    - order: the numbers of the samples.
    - batch_size: how many of them at a time.
    - prefetch: how many batches are read ahead; with 0 each is read when it is asked for, without a thread.

    **Raises:** `ValueError` for a batch size below 1 or a negative number to read ahead.
    """
    if batch_size < 1 or prefetch < 0:
        raise ValueError(
            f"`batches` needs at least one sample per batch and reads none or more ahead, not {batch_size} and "
            f"{prefetch}."
        )
    chosen = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return _ahead(samples, chosen, prefetch) if prefetch else (samples[batch] for batch in chosen)


def _ahead(samples: Samples, chosen: list[Int[np.ndarray, " _"]], prefetch: int) -> Iterator[Any]:
    reader = ThreadPoolExecutor(1, "equifield-batches")
    try:
        reading: deque[Future[Any]] = deque()
        for batch in chosen:
            reading.append(reader.submit(samples.__getitem__, batch))
            if len(reading) > prefetch:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()
    finally:
        reader.shutdown(cancel_futures=True)
