"""The client that awaits: a driver of flows over `httpx.AsyncClient`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
import xarray as xr

from ._calls import Calls, Option
from ._drivers import drive_async, iterate_async
from ._flow import Retry
from ._job import AsyncJob
from ._job_calls import JobCalls
from ._job_status import JobStatus
from ._models import EquivarianceReport, ModelInfo
from ._netcdf import Source
from ._options import JobOptions, Options, Reading
from ._transport import (
    DEFAULT_TIMEOUT,
    DEFAULT_URL,
    checked_url,
    credentials,
    default_headers,
    policy_for,
)


class AsyncClient:
    """`Client` for asyncio and trio: the same calls, awaited. Close it, or use it in an `async with` block.

    Files are read, encoded and decoded in a thread, so that the event loop goes on.

    Example:
        ```python
        async with AsyncClient("http://127.0.0.1:8000") as client:
            answers = await asyncio.gather(*(client.predict("wind-downscale-2d", path) for path in paths))
        ```

    Args:
        base_url: As for `Client`.
        timeout: As for `Client`.
        retries: As for `Client`.
        key: As for `Client`.
        headers: As for `Client`.
        transport: An asynchronous `httpx` transport.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retry | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        url = checked_url(base_url)
        self._calls = Calls(policy_for(url, timeout, retries or Retry()))
        self._settings: dict[str, Any] = {
            "base_url": self._calls.policy.server,
            "auth": credentials(url),
            "timeout": timeout,
            "headers": default_headers(key, headers),
        }
        self._http = httpx.AsyncClient(**self._settings, transport=transport)
        self._blocking: httpx.Client | None = None
        self._can_block = transport is None

    async def models(self) -> list[ModelInfo]:
        """`Client.models`, awaited."""
        return await drive_async(self._http, self._calls.models())

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """`Client.model`, awaited."""
        return await drive_async(self._http, self._calls.model(name, version))

    async def predict(
        self,
        name: str,
        dataset: Source,
        *,
        version: str | None = None,
        map: Mapping[str, str] | None = None,
        axes: Mapping[str, str] | None = None,
        boundary: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> xr.Dataset:
        """`Client.predict`, awaited."""
        return await drive_async(
            self._http,
            self._calls.predict(name, dataset, version=version, map=map, axes=axes, boundary=boundary, **options),
        )

    async def predict_bytes(
        self,
        name: str,
        dataset: Source,
        *,
        version: str | None = None,
        map: Mapping[str, str] | None = None,
        axes: Mapping[str, str] | None = None,
        boundary: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> bytes:
        """`Client.predict_bytes`, awaited."""
        return await drive_async(
            self._http,
            self._calls.predict_bytes(name, dataset, version=version, map=map, axes=axes, boundary=boundary, **options),
        )

    async def check_equivariance(
        self,
        name: str,
        dataset: Source | None = None,
        *,
        version: str | None = None,
        seed: int | None = None,
        grid: Sequence[int] | None = None,
        map: Mapping[str, str] | None = None,
        axes: Mapping[str, str] | None = None,
        boundary: Mapping[str, str] | None = None,
        **options: Unpack[Reading],
    ) -> EquivarianceReport:
        """`Client.check_equivariance`, awaited."""
        names: dict[str, Option] = {"map": map, "axes": axes, "boundary": boundary}
        return await drive_async(
            self._http,
            self._calls.check_equivariance(name, dataset, version=version, seed=seed, grid=grid, **names, **options),
        )

    async def submit(
        self,
        name: str,
        dataset: Source,
        *,
        version: str | None = None,
        map: Mapping[str, str] | None = None,
        axes: Mapping[str, str] | None = None,
        boundary: Mapping[str, str] | None = None,
        steps: int | None = None,
        every: int | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """`Client.submit`, awaited."""
        names: dict[str, Option] = {"map": map, "axes": axes, "boundary": boundary}
        flow = self._calls.submit(
            name, dataset, idempotency_key, version=version, steps=steps, every=every, **names, **options
        )
        return self.job((await drive_async(self._http, flow)).id)

    def job(self, id: str) -> AsyncJob:
        """`Client.job`, which asks nothing, so that there is nothing to await."""
        return AsyncJob(self._http, JobCalls(id, self._calls.policy), self._blocking_client)

    def jobs(self, status: str | None = None, model: str | None = None) -> AsyncIterator[JobStatus]:
        """`Client.jobs`, for `async for`."""
        return iterate_async(self._http, self._calls.jobs(status, model))

    async def close(self) -> None:
        """Closes the connections."""
        if self._blocking is not None:
            self._blocking.close()
        await self._http.aclose()

    def _blocking_client(self) -> httpx.Client:
        """The connections for datasets that are read while they are used."""
        if not self._can_block:
            raise ValueError(
                "The result cannot be read while it is used: the client has a transport of its own, which only awaits. "
                "Use `await job.save(path)` and open the file."
            )
        if self._blocking is None:
            self._blocking = httpx.Client(**self._settings)
        return self._blocking

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        policy = self._calls.policy
        return f"AsyncClient({policy.server!r}, timeout={policy.timeout:g}, retries={policy.retry})"
