"""The equivariance check: does this model, as it is served, commute with its group?"""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from equifield.package.manifest import Manifest

from ..metrics import Metrics
from ..payload import Decoded, PayloadPool
from ..scheduling import Array, BatchKey, Guest, Scheduler
from ..workers.supervisor import Supervisor
from .asking import Ask, decode, sample_bytes
from .errors import DeadlineExceeded, InvalidQuery
from .grids import boundary_of, check_grid
from .predict import Form, Prediction, attributes, write_options
from .registry import Registry

ANY_SPACING = (
    "the model takes coordinates as plain indices: where the spacing differs between the axes or is not uniform, the "
    "law holds for the grid, but not for the places on it"
)

T = TypeVar("T")


class _Measured(NamedTuple):
    report: dict[str, Any]
    residual: Array


class Checker:
    """Measures the law on the user's own data, or on random fields."""

    def __init__(
        self,
        registry: Registry,
        pool: PayloadPool,
        scheduler: Scheduler,
        supervisor: Supervisor,
        metrics: Metrics,
    ):
        self._registry, self._pool, self._metrics = registry, pool, metrics
        self._scheduler, self._supervisor = scheduler, supervisor

    async def check(
        self, ask: Ask, body: bytes, *, seed: int, grid: tuple[int, ...] | None, guest: Guest
    ) -> dict[str, Any]:
        """The report, one row per transformation and output field; on random fields when there is no body.

        Raises:
            InvalidQuery: a grid was asked for, but the file has its own.
            DomainError: whatever else stands in the way.
        """
        manifest, entry = self._registry.serving(ask.model, ask.version)
        with self._registry.using(entry):
            if body and grid is not None:
                raise InvalidQuery(
                    "`grid` is for random fields, but a file was sent, which has its own. Send one of both."
                )
            decoded = await self._decode(manifest, ask, body, guest) if body else None
            if decoded is None:
                check_grid(manifest.grid, grid or manifest.grid.default)
            measured = await self._measure(manifest, ask, decoded, grid, seed)
        return measured.report

    async def residual(self, ask: Ask, body: bytes, *, form: Form, guest: Guest) -> Prediction:
        """The residual g^-1 f(g x) - f(x) of the worst transformation, as a file like a prediction.

        Raises:
            InvalidQuery: there is no file, or it has more samples than are checked at one time.
            DomainError: whatever else stands in the way.
        """
        manifest, entry = self._registry.serving(ask.model, ask.version)
        with self._registry.using(entry):
            decoded = await self._decode(manifest, ask, body, guest)
            measured = await self._measure(manifest, ask, decoded, None, 0)
            if len(measured.residual) < len(decoded.array):
                raise InvalidQuery(
                    f"The file has {len(decoded.array)} samples; a residual is given for at most "
                    f"{len(measured.residual)} at one time. Send fewer, or ask for the report as application/json."
                )
            options = write_options(form, decoded.frame.kind)
            worst = measured.report["worst"]
            title = f"equivariance residual under {worst['element']}, worst in {worst['field']}: {worst['error']}"
            file = await self._pool.encode(
                manifest,
                decoded.frame,
                measured.residual,
                options=options,
                attributes=attributes(manifest, entry, datetime.now(UTC)) | {"title": title},
                timeout=ask.remaining(),
            )
        return Prediction(file, options.kind, manifest.name, manifest.version, len(measured.residual))

    async def _decode(self, manifest: Manifest, ask: Ask, body: bytes, guest: Guest) -> Decoded:
        decoded = await decode(self._pool, self._metrics, body, manifest, ask)
        guest.hold(len(decoded.array) * sample_bytes(manifest, decoded.array.shape[1:-1]))
        return decoded

    async def _measure(
        self, manifest: Manifest, ask: Ask, decoded: Decoded | None, grid: tuple[int, ...] | None, seed: int
    ) -> "_Measured":
        """The report on as many samples as travel together, or on random fields."""
        samples = None if decoded is None else decoded.array
        chosen = (grid or manifest.grid.default) if samples is None else samples.shape[1:-1]
        periodic = () if decoded is None else decoded.frame.periodic
        room = self._scheduler.room(chosen, sample_bytes(manifest, chosen))
        key = BatchKey(manifest.name, manifest.version, chosen, boundary_of(manifest.grid, ask.boundary, periodic))
        part = None if samples is None else samples[:room]
        report, residual = await self._within(ask, self._supervisor.check(key, part, seed))
        return _Measured(self._finish(manifest, report, samples, room), residual)

    async def _within(self, ask: Ask, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout_at(ask.deadline):
                return await work
        except TimeoutError:
            raise DeadlineExceeded(
                "The deadline passed before the check was done. Check a smaller grid, or allow more time with the "
                "header Equifield-Timeout-Ms."
            ) from None

    def _finish(self, manifest: Manifest, report: dict[str, Any], samples: Array | None, room: int) -> dict[str, Any]:
        model, error = f"{manifest.name}/{manifest.version}", report["worst"]["error"]
        self._metrics.equivariance_error.labels(model).set(float("nan") if error is None else error)
        caveats = list(report["caveats"])
        if samples is not None and len(samples) > room:
            caveats.append(f"measured on the first {room} of {len(samples)} samples")
        if manifest.grid.spacing == "any":
            caveats.append(ANY_SPACING)
        return {"model": manifest.name, "version": manifest.version, **report, "caveats": caveats}
