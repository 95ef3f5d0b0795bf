"""A rollout as a job: computed in parts, each of which is on the disk before the next one counts."""

import asyncio
import math
import time

import numpy as np

from ...scheduling import Array, Scheduler
from ..rollouts import Steps, followed
from .diagnostics import Diagnostics
from .growing import RECORDS, Elsewhere, Growing, InFolder, with_records
from .job import Checkpoint, Failure, Job, Piece
from .ledger import Ledger
from .news import News
from .opening import PATIENCE_S, Opened, Opening
from .spool import CHUNK, Spool, file_of

PART_SECONDS = 2.0
"""A part should take so long: what is lost when something dies, and what it takes to hear of it."""
PART_BYTES = 32 * 2**20
PARTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""States of one part: few different numbers."""
FIRST_STEPS = 10


class Rolling:
    """One attempt at a rollout. `advance` may be called again after it failed: it goes on after the last whole part."""

    def __init__(
        self,
        job: Job,
        opened: Opened,
        opening: Opening,
        scheduler: Scheduler,
        ledger: Ledger,
        spool: Spool,
        news: News,
        lease_s: float,
    ):
        self._job, self._opened, self._opening = job, opened, opening
        self._scheduler, self._ledger, self._spool, self._news = scheduler, ledger, spool, news
        self._lease_s = lease_s
        self._steps = opened.assignment.steps or Steps(1)
        self._state, self.step = opened.array, 0
        self._head = b""
        self._diagnostics = Diagnostics()
        name = file_of(job.id, "result", job.attempts)
        self._result: Growing = InFolder(spool, name) if spool.grows else Elsewhere(spool, name)
        self._frames = max(number for number in PARTS if number * self._steps.every <= FIRST_STEPS or number == 1)
        self._diverged = False

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to compute."""
        return self._diverged or self.step == self._steps.steps

    def close(self) -> None:
        """Lets go of what the attempt holds."""
        self._result.close()

    async def begin(self) -> None:
        """Goes to where the last attempt came.

        Raises:
            DomainError: the spool or the payload process fails.
        """
        made = self._job.checkpoint
        if made is not None:
            state = await asyncio.to_thread(self._continue, made)
            self._state, self.step = state, made.step
            self._diagnostics = Diagnostics(**(self._job.diagnostics or {}))

    def _continue(self, made: Checkpoint) -> Array:
        """Takes the whole part of the last attempt's result, and its last state."""
        self._result.size = 0
        for chunk in self._spool.read_range(made.result, 0, made.bytes):
            self._result.append(chunk)
        stored = b"".join(self._spool.read_range(made.name, 0, self._opened.array.nbytes + CHUNK))
        return np.frombuffer(stored, np.float32).reshape(self._opened.array.shape)

    async def advance(self) -> None:
        """Computes one part, and keeps it.

        Raises:
            LeaseLost: The job is not ours any more.
            DomainError: it could not be done; nothing has changed.
        """
        frames = min(self._frames, self._steps.frames - self.step // self._steps.every)
        began = time.monotonic()
        part = Steps(frames * self._steps.every, self._steps.every)
        states = await self._opened.computed(self._scheduler, self._state, part)
        seconds = time.monotonic() - began
        finite = np.isfinite(states.reshape(*states.shape[:2], -1)).all(axis=(0, 2))
        whole = frames if finite.all() else int(np.argmin(finite))
        if whole:
            await self._keep(states[:, :whole], self.step + whole * self._steps.every, is_last=whole < frames)
        self._diverged = whole < frames
        self._frames = self._next(seconds / frames)

    async def _keep(self, states: Array, step: int, *, is_last: bool) -> None:
        """Adds a part to the result; unless it is the last one, as a checkpoint that the ledger knows."""
        size, last = self._result.size, followed(self._opened.manifest, self._state, states[:, -1])
        data = await (self._following if size else self._first)(states, step)
        try:
            diagnostics = await asyncio.to_thread(self._add, data, states)
            if not is_last and step < self._steps.steps:
                await self._tell(last, step, diagnostics)
        except BaseException:
            self._result.size = size
            raise
        self._state, self.step, self._diagnostics = last, step, diagnostics

    def _add(self, data: bytes | memoryview, states: Array) -> Diagnostics:
        """Appends a part to the result, and measures it."""
        self._result.append(data)
        return self._diagnostics.followed_by(self._opened.manifest, self._steps, self.step, states)

    async def _first(self, states: Array, step: int) -> bytes:
        """The first part with the head of the file, which says at once how many records there will be."""
        file = await self._opening.write(self._opened, states, PATIENCE_S, (0, step))
        begin = with_records([bytes(file[: RECORDS.stop])], self._steps.frames)
        return b"".join((*begin, file[RECORDS.stop :]))

    async def _following(self, states: Array, step: int) -> memoryview:
        """A part that is appended: the head before it is the one that is there."""
        if not self._head:
            self._head = await self._opening.head(self._opened, PATIENCE_S)
        file = await self._opening.write(self._opened, states, PATIENCE_S, (self.step, step))
        if file[RECORDS.stop : len(self._head)] != self._head[RECORDS.stop :]:
            raise ValueError(f"The states of job {self._job.id} after step {self.step} do not fit behind its head.")
        return file[len(self._head) :]

    async def _tell(self, state: Array, step: int, diagnostics: Diagnostics) -> None:
        """Notes how far the job is, and from where another attempt would go on."""
        made = await asyncio.to_thread(self._checkpoint, state, step) if self._spool.grows else None
        before = self._job.checkpoint
        self._job = await self._ledger.progress(
            self._job,
            self._lease_s,
            step=step,
            progress=100 * step // self._steps.steps,
            checkpoint=made,
            diagnostics=vars(diagnostics),
        )
        self._news.tell(self._job)
        if made is not None and before is not None:
            gone = {before.name, before.result} - {made.result}
            await asyncio.to_thread(self._spool.remove, gone)

    def _checkpoint(self, state: Array, step: int) -> Checkpoint:
        kept = self._spool.put(file_of(self._job.id, "checkpoint", step), [np.ascontiguousarray(state).tobytes()])
        return Checkpoint(kept.name, step, self._result.name, self._result.size)

    def _next(self, seconds: float) -> int:
        """How many states the next part has."""
        state = np.float32().nbytes * math.prod(self._opened.state_shape)
        room = min(PART_BYTES, self._scheduler.max_batch_bytes) // max(1, state)
        fitting = [number for number in PARTS if number <= room and number * seconds <= PART_SECONDS]
        return max(fitting, default=1)

    async def end(self) -> Job:
        """Ends the job, well or at the state that is not finite.

        Raises:
            LeaseLost: The job is not ours any more.
            DomainError: the ledger or the spool fails; it can be tried again.
        """
        whole = self.step // self._steps.every
        piece: Piece | None = await asyncio.to_thread(self._result.seal, whole) if whole else None
        if piece is not None and not self._diverged:
            return await self._ledger.finish(self._job, piece, step=self.step, diagnostics=vars(self._diagnostics))
        until = self.step + self._steps.every
        after = f"after step {self.step}, by step {until}," if self._steps.every > 1 else f"at step {until}"
        detail = f"The rollout diverged: {after} a value is not finite. The result has what came before."
        failure = Failure("diverged", detail)
        return await self._ledger.fail(
            self._job, failure, result=piece, step=self.step, diagnostics=vars(self._diagnostics)
        )
