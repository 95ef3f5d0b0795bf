"""A job's file, read for its model: what the computing begins with, and the first bytes of its result."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from equifield.package.manifest import Manifest

from ...metrics import Metrics
from ...payload import Frame, PayloadPool, Progress, WriteOptions
from ...scheduling import Array, BatchKey
from ..asking import Ask, decode, sample_bytes
from ..grids import boundary_of
from ..predict import attributes
from ..registry import Registry
from ..rollouts import check_autoregressive
from .assignment import Assignment


@dataclass(frozen=True)
class Opened:
    """A file that fits its model.

    Attributes:
        array: Its fields, `(batch, *grid, features)`.
        key: What is computed on it; of a rollout, without its steps.
        sample_bytes: Of one state of one sample.
    """

    manifest: Manifest
    frame: Frame
    array: Array
    key: BatchKey
    sample_bytes: int
    assignment: Assignment
    attributes: dict[str, str]


class Opening:
    """Reads files for models, and writes what the models made of them, in NetCDF-3: its records lie one by one."""

    def __init__(self, registry: Registry, pool: PayloadPool, metrics: Metrics):
        self._registry, self._pool, self._metrics = registry, pool, metrics

    async def open(self, ask: Ask, body: bytes, assignment: Assignment, created: datetime) -> Opened:
        """Reads a file.

        Args:
            ask: Its deadline bounds the reading.
            body: The file.
            assignment: How to read it, and what for.
            created: When the job was accepted, which the history of the result tells.

        Raises:
            DomainError: the file, or what is asked of the model, is refused.
        """
        manifest, entry = self._registry.serving(ask.model, ask.version)
        boundary_of(manifest.grid, assignment.boundary)
        options = assignment.options
        if assignment.steps is not None:
            check_autoregressive(manifest)
            options = replace(options, rollout=True)
        asked = replace(ask, media=assignment.media, options=options)
        decoded = await decode(self._pool, self._metrics, body, manifest, asked)
        grid = decoded.array.shape[1:-1]
        key = BatchKey(
            manifest.name,
            manifest.version,
            grid,
            boundary_of(manifest.grid, assignment.boundary, decoded.frame.periodic),
            assignment.precision,
            assignment.symmetrize,
        )
        said = attributes(manifest, entry, created)
        size = sample_bytes(manifest, grid)
        return Opened(manifest, decoded.frame, decoded.array, key, size, assignment, said)

    async def write(self, opened: Opened, states: Array, timeout: float, part: tuple[int, int] | None) -> memoryview:
        """A prediction as a file; of a rollout, the states after one step up to another, behind the head of the file.

        Raises:
            NotAcceptable: NetCDF-3 cannot hold what the file that was sent has.
            DeadlineExceeded: it took longer than `timeout` seconds.
        """
        steps = opened.assignment.steps
        progress = None if steps is None else Progress(steps.steps, steps.every, steps.steps, part)
        with self._metrics.payload_seconds.labels("encode").time():
            return await self._pool.encode(
                opened.manifest,
                opened.frame,
                states,
                options=WriteOptions("netcdf3", opened.assignment.dtype),
                attributes=opened.attributes,
                timeout=timeout,
                progress=progress,
            )

    async def head(self, opened: Opened, timeout: float) -> bytes:
        """What the file of a rollout has before its first record.

        Raises:
            NotAcceptable: NetCDF-3 cannot hold what the file that was sent has.
            DeadlineExceeded: it took longer than `timeout` seconds.
        """
        batch, *rest = opened.array.shape
        return bytes(await self.write(opened, np.empty((batch, 0, *rest), np.float32), timeout, (0, 0)))
