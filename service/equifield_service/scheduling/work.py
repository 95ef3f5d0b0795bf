"""One admitted request, as the scheduler holds it."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from equifield.boundary import Boundary

from .. import tracing

Array = npt.NDArray[np.float32]
Priority = Literal["interactive", "batch"]
Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True)
class BatchKey:
    """What samples must share to travel in one batch.

    Attributes:
        precision: Of matrix products and convolutions.
        symmetrize: Whether the prediction is averaged over the group.
        steps: How often the model is applied, each time to what it gave; None for a prediction, which is no rollout.
        every: Of the states of a rollout, every which one is wanted.
    """

    model: str
    version: str
    grid: tuple[int, ...]
    boundary: tuple[Boundary, ...]
    precision: Precision = "float32"
    symmetrize: bool = False
    steps: int | None = None
    every: int = 1

    @property
    def package(self) -> tuple[str, str]:
        """Name and version of the model."""
        return self.model, self.version


@dataclass(eq=False)
class Samples:
    """The samples of one request on their way through batches; they may travel in several.

    `limit` is how many samples of this kind a batch carries; `rows` holds the answers of a request that travels in
    several, of which so many are `given`; `alone` says that they share no batch with others, such as when one with them
    has failed; `began` is when the first of them left the queue.
    """

    key: BatchKey
    array: Array
    limit: int
    priority: Priority
    deadline: float
    arrived: float
    answer: asyncio.Future[Array]
    rows: Array | None = None
    given: int = 0
    alone: bool = False
    began: float | None = None
    trace: str | None = field(default_factory=tracing.traceparent)

    @property
    def is_answered(self) -> bool:
        """Whether there is a prediction."""
        return self.answer.done() and not self.answer.cancelled() and self.answer.exception() is None

    def wanted(self, now: float) -> bool:
        """Whether anybody still waits for the answer."""
        return not self.answer.done() and self.deadline > now

    def give(self, start: int, rows: Array) -> None:
        """Accepts the answer to the samples from `start`, which may be the last ones."""
        if self.answer.done():
            return
        if len(rows) < len(self.array):
            if self.rows is None:
                self.rows = np.empty((len(self.array), *rows.shape[1:]), rows.dtype)
            self.rows[start : start + len(rows)] = rows
        self.given += len(rows)
        if self.given == len(self.array):
            self.answer.set_result(rows if self.rows is None else self.rows)

    def fail(self, error: BaseException) -> None:
        """Answers with an error, unless the request has its answer or gave up."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True)
class Share:
    """Part of a request: `count` samples from `start`."""

    work: Samples
    start: int
    count: int

    @property
    def array(self) -> Array:
        """The samples themselves, not copied."""
        return self.work.array[self.start : self.start + self.count]

    def cut(self, count: int) -> "tuple[Share, Share]":
        """The first `count` samples, and the rest."""
        return Share(self.work, self.start, count), Share(self.work, self.start + count, self.count - count)


@dataclass(frozen=True)
class Batch:
    """Samples that go to the device together."""

    key: BatchKey
    shares: tuple[Share, ...]

    @property
    def deadline(self) -> float:
        """When nobody waits for it any more."""
        return max(share.work.deadline for share in self.shares)

    @property
    def array(self) -> Array:
        """All samples, one after the other."""
        arrays = [share.array for share in self.shares]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def give(self, rows: Array) -> None:
        """Hands every request its rows."""
        offset = 0
        for share in self.shares:
            share.work.give(share.start, rows[offset : offset + share.count])
            offset += share.count


@dataclass(frozen=True)
class Predicted:
    """The answers to a batch, and the seconds that went by on the way to the device, there, and back."""

    rows: Array
    input_seconds: float = 0.0
    device_seconds: float = 0.0
    output_seconds: float = 0.0


class NotPrepared(Exception):
    """The device must load or compile something before it can take this batch."""
