"""The way of one prediction: file -> packed array -> model -> file."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import numpy as np

from equifield.package.manifest import Manifest

from .. import tracing
from ..metrics import Metrics
from ..payload import Kind, PayloadPool, WriteOptions
from ..payload import Precision as Type
from ..scheduling import Array, BatchKey, Guest, Precision, Scheduler
from .asking import Ask, check_answer, features, sample_bytes
from .errors import InvalidQuery
from .preparing import prepare
from .registry import Entry, Registry
from .rollouts import Steps, check_room, progress

VERSION = version("equifield")

Wanted = Literal["same", "netcdf", "netcdf3", "netcdf4", "json"]
"""The kind of answer: that of the body, any NetCDF (the body's own where it is one), or one by name."""


@dataclass(frozen=True)
class Form:
    """How an answer is wanted.

    Attributes:
        kind: The kind of file.
        dtype: The type of the predicted fields.
        compress: The level of their zlib compression, 0 for none. Where the kind is open, it makes it NetCDF-4.
        precision: Of matrix products and convolutions.
        symmetrize: Whether to average over the group.
        steps: Of a rollout; None for a prediction.
    """

    kind: Wanted = "same"
    dtype: Type = "float32"
    compress: int = 0
    precision: Precision = "float32"
    symmetrize: bool = False
    steps: Steps | None = None


@dataclass(frozen=True)
class Prediction:
    """A file with the predicted fields, who predicted them, and how far a rollout came."""

    body: memoryview
    kind: Kind
    model: str
    version: str
    samples: int
    completed: int | None = None


class Predictor:
    """Answers files with files."""

    def __init__(self, registry: Registry, pool: PayloadPool, scheduler: Scheduler, metrics: Metrics):
        self._registry, self._pool, self._scheduler, self._metrics = registry, pool, scheduler, metrics

    async def predict(self, ask: Ask, body: bytes, *, form: Form, guest: Guest) -> Prediction:
        """The predicted fields for the file `body`, with its coordinates and conventions.

        Raises:
            DomainError: any of them; each says what was wrong and what would be right.
        """
        manifest, entry = self._registry.serving(ask.model, ask.version)
        with self._registry.using(entry):
            work = self._predict(manifest, entry, ask, body, form, guest)
            del body  # the work holds it for as long as it needs it
            return await work

    async def _predict(
        self, manifest: Manifest, entry: Entry, ask: Ask, body: bytes, form: Form, guest: Guest
    ) -> Prediction:
        prepared = await prepare(
            self._pool,
            self._metrics,
            body,
            manifest,
            ask,
            precision=form.precision,
            symmetrize=form.symmetrize,
            steps=form.steps,
        )
        del body
        frame, array, key = prepared.frame, prepared.array, prepared.key
        del prepared
        options = write_options(form, frame.kind)
        guest.hold(len(array) * sample_bytes(manifest, key.grid))
        work = self._compute(manifest, key, array, form, ask, guest)
        del array  # the work holds it for as long as it needs it
        prediction = await work
        came = None if form.steps is None else progress(prediction, form.steps)
        with tracing.span("payload encode"), self._metrics.payload_seconds.labels("encode").time():
            answer = await self._pool.encode(
                manifest,
                frame,
                prediction,
                options=options,
                attributes=attributes(manifest, entry, datetime.now(UTC)),
                timeout=ask.remaining(),
                progress=came,
            )
        completed = None if came is None else came.completed
        return Prediction(answer, options.kind, manifest.name, manifest.version, len(prediction), completed)

    async def _compute(
        self, manifest: Manifest, key: BatchKey, array: Array, form: Form, ask: Ask, guest: Guest
    ) -> Array:
        """What the model gives: `(batch, *grid, features)`, of a rollout `(batch, frames, *grid, features)`."""
        size, steps = sample_bytes(manifest, key.grid), form.steps
        if steps is None:
            check_answer(len(array), size, most=self._scheduler.max_batch_bytes)
        else:
            shape, itemsize = (*array.shape[:-1], features(manifest.outputs)), np.dtype(form.dtype).itemsize
            check_room(shape, steps, itemsize=itemsize, most=self._scheduler.max_batch_bytes)
            size = sample_bytes(manifest, key.grid, steps.frames)
            guest.hold(len(array) * size)
            key = replace(key, steps=steps.steps, every=steps.every)
        return await self._scheduler.submit(key, array, sample_bytes=size, deadline=ask.deadline)


def write_options(form: Form, sent: Kind) -> WriteOptions:
    """How to write the answer, when a file of kind `sent` came.

    Raises:
        InvalidQuery: compression was asked for, and a kind that has none.
    """
    kind: Kind
    match form.kind:
        case "same":
            kind = sent
        case "netcdf":
            kind = "netcdf4" if sent == "json" else sent
        case _:
            kind = form.kind
    if form.compress and kind == "netcdf3" and form.kind in ("same", "netcdf"):
        kind = "netcdf4"
    if form.compress and kind != "netcdf4":
        raise InvalidQuery(
            f"`compress={form.compress}` needs an answer of kind netcdf4, but {kind} was asked for. Ask for "
            f"`Accept: application/netcdf; version=4`, or leave `compress` out."
        )
    return WriteOptions(kind, form.dtype, form.compress)


def attributes(manifest: Manifest, entry: Entry, asked: datetime) -> dict[str, str]:
    """The global attributes that say where a prediction comes from, and when it was asked for."""
    time, model = asked.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{manifest.name}/{manifest.version}"
    own = {
        "Conventions": "CF-1.11",
        "history": f"{time} equifield {VERSION}: predicted by {model} (sha256 {manifest.digest})",
        "source": f"{manifest.title} ({model})",
    }
    error = None if entry.certificate is None else entry.certificate["worst"]["error"]
    if error is not None:
        own["equivariance_error"] = f"{error:.2e}"
    return own
