"""A job's file, read for its model: what the computing begins with, and the first bytes of its result."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from equifield.package.manifest import Manifest

from ...metrics import Metrics
from ...payload import Frame, PayloadPool, Progress, WriteOptions
from ...scheduling import Array, BatchKey, Scheduler
from ..asking import Ask, features, sample_bytes
from ..predict import attributes
from ..preparing import prepare
from ..registry import Entry, Registry
from ..rollouts import Steps
from .assignment import Assignment

PATIENCE_S = 600.0
"""For so long one part of a job may take, a compilation before it included."""


@dataclass(frozen=True)
class Opened:
    """A file that fits its model.

    Attributes:
        array: Its fields, `(batch, *grid, features)`.
        key: What is computed on it; of a rollout, without its steps.
        sample_bytes: Of one state of one sample.
        created: When the job was accepted, which the history of the result tells.
    """

    manifest: Manifest
    frame: Frame
    array: Array
    key: BatchKey
    sample_bytes: int
    assignment: Assignment
    entry: Entry
    created: datetime

    @property
    def nbytes(self) -> int:
        """Of what was read."""
        return self.array.nbytes + self.frame.shell.nbytes

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Of what the model gives for the file: `(batch, *grid, features)`."""
        return (*self.array.shape[:-1], features(self.manifest.outputs))

    async def computed(self, scheduler: Scheduler, states: Array, steps: Steps | None = None) -> Array:
        """What the model makes of states, by so many steps of a rollout, when those who wait have had their turn.

        Raises:
            DomainError: there is no answer.
        """
        frames = 1 if steps is None else steps.frames
        return await scheduler.submit(
            self.key if steps is None else replace(self.key, steps=steps.steps, every=steps.every),
            states,
            sample_bytes=sample_bytes(self.manifest, self.key.grid, frames),
            deadline=asyncio.get_running_loop().time() + PATIENCE_S,
            priority="batch",
            alone=True,
        )


class Opening:
    """Reads files for models, and writes what the models made of them, in NetCDF-3: its records lie one by one."""

    def __init__(self, registry: Registry, pool: PayloadPool, metrics: Metrics):
        self._registry, self._pool, self._metrics = registry, pool, metrics

    async def open(
        self, ask: Ask, body: bytes, assignment: Assignment, created: datetime, *, trial: bool = False
    ) -> Opened:
        """Reads a file.

        Args:
            ask: Its deadline bounds the reading.
            body: The file.
            assignment: How to read it, and what for.
            created: When the job was accepted.
            trial: Whether to refuse a file whose rollout NetCDF-3 cannot hold, before anybody waits for it in vain.

        Raises:
            DomainError: the file, or what is asked of the model, is refused.
        """
        options = assignment.options
        progress = _progress(assignment, (0, 0))
        if trial and progress is not None:
            options = replace(options, trial={"options": vars(_written(assignment)), "progress": vars(progress)})
        manifest, entry = self._registry.serving(ask.model, ask.version)
        found = await prepare(
            self._pool,
            self._metrics,
            body,
            manifest,
            replace(ask, media=assignment.media, options=options, boundary=assignment.boundary),
            precision=assignment.precision,
            symmetrize=assignment.symmetrize,
            steps=assignment.steps,
        )
        size = sample_bytes(manifest, found.key.grid)
        return Opened(manifest, found.frame, found.array, found.key, size, assignment, entry, created)

    async def write(self, opened: Opened, states: Array, timeout: float, part: tuple[int, int] | None) -> memoryview:
        """A prediction as a file; of a rollout, the states after one step up to another, behind the head of the file.

        Raises:
            NotAcceptable: NetCDF-3 cannot hold what the file that was sent has.
            DeadlineExceeded: it took longer than `timeout` seconds.
        """
        with self._metrics.payload_seconds.labels("encode").time():
            return await self._pool.encode(
                opened.manifest,
                opened.frame,
                states,
                options=_written(opened.assignment),
                attributes=attributes(opened.manifest, opened.entry, opened.created),
                timeout=timeout,
                progress=_progress(opened.assignment, part),
            )

    async def head(self, opened: Opened, timeout: float) -> bytes:
        """What the file of a rollout has before its first record.

        Raises:
            NotAcceptable: NetCDF-3 cannot hold what the file that was sent has.
            DeadlineExceeded: it took longer than `timeout` seconds.
        """
        batch, *rest = opened.state_shape
        return bytes(await self.write(opened, np.empty((batch, 0, *rest), np.float32), timeout, (0, 0)))


def _written(assignment: Assignment) -> WriteOptions:
    return WriteOptions("netcdf3", assignment.dtype)


def _progress(assignment: Assignment, part: tuple[int, int] | None) -> Progress | None:
    steps = assignment.steps
    return None if steps is None else Progress(steps.steps, steps.every, steps.steps, part)
