"""The client that waits: a driver of flows over `httpx.Client`."""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, Unpack

import httpx
import xarray as xr

from ._calls import Calls, Option
from ._drivers import drive, iterate
from ._flow import Retry
from ._job import Job
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


class Client:
    """Calls an Equifield service. Safe to share between threads; close it, or use it in a `with` block.

    Example:
        ```python
        with Client("http://127.0.0.1:8000") as client:
            answer = client.predict("wind-downscale-2d", "wind.nc")
            print(client.check_equivariance("wind-downscale-2d", "wind.nc"))
        ```

    Args:
        base_url: Where the service is.
        timeout: The seconds that one call may take, every try and pause included. The service is told, and
            drops work that would come too late.
        retries: When a call is tried again. `Retry(limit=0)` never tries again.
        key: What opens the service, where it wants a key. Never shown or logged.
        headers: Sent with every request, for a proxy that wants one of its own, say. Never shown or logged.
        transport: An `httpx` transport: the seam for tests, proxies and sockets.

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = checked_url(base_url)
        self._calls = Calls(policy_for(url, timeout, retries or Retry()))
        self._http = httpx.Client(
            base_url=self._calls.policy.server,
            auth=credentials(url),
            timeout=timeout,
            headers=default_headers(key, headers),
            transport=transport,
        )

    def models(self) -> list[ModelInfo]:
        """Every model that the service has, with what it takes and gives.

        Raises:
            EquifieldError: The call failed.
        """
        return drive(self._http, self._calls.models())

    def model(self, name: str, version: str | None = None) -> ModelInfo:
        """What one model takes and gives, its state and its certificate.

        Args:
            name: The model.
            version: One of its versions; None for the newest.

        Raises:
            UnknownModel, UnknownVersion: There is no such model or version.
            EquifieldError: The call failed otherwise.
        """
        return drive(self._http, self._calls.model(name, version))

    def predict(
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
        """The model's output fields, on the coordinates of the input.

        Args:
            name: The model.
            dataset: A dataset, or the path or bytes of a NetCDF file, which are sent as they are.
            version: One of the model's versions; None for the newest.
            map: Which variable holds which component, as in `{"u": "u10", "v": "v10"}`. Variables with the
                model's own names, CF standard names or the tensor attributes are found without it.
            axes: Which dimension is which axis, as in `{"x": "lon", "y": "lat"}`.
            boundary: `"periodic"`, `"zero"`, `"reflect"`, `"replicate"` or `"mirror"` (a wall) for an axis, instead
                of the model's default.
            options: `units`, `missing`, `group`, `stagger`, `dtype`, `compress`, `steps`, `every`: see `Options`.

        Raises:
            PayloadError: The input is at fault; the class says how, and `detail` what would be right.
            UnknownModel, UnknownVersion: There is no such model or version.
            EquifieldError: The call failed otherwise.
            TypeError, ValueError, OSError: An argument is wrong, or the file cannot be read.
        """
        return drive(
            self._http,
            self._calls.predict(name, dataset, version=version, map=map, axes=axes, boundary=boundary, **options),
        )

    def predict_bytes(
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
        """Like `predict`, but returns the NetCDF file itself, to be stored as it came."""
        return drive(
            self._http,
            self._calls.predict_bytes(name, dataset, version=version, map=map, axes=axes, boundary=boundary, **options),
        )

    def check_equivariance(
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
        """Measures how exactly the model's answer rotates when its input does, element by element.

        Args:
            name: The model.
            dataset: The input to try, as for `predict`; None for random fields.
            version: One of the model's versions; None for the newest.
            seed: Of the random fields.
            grid: Of the random fields, as in `(64, 128)`.
            map: As for `predict`.
            axes: As for `predict`.
            boundary: As for `predict`.
            options: `units`, `missing`, `group`, `stagger`: see `Reading`.

        Raises:
            EquifieldError: The call failed. A failed check is no error: see `EquivarianceReport.passed`.
            TypeError, ValueError, OSError: An argument is wrong, or the file cannot be read.
        """
        names: dict[str, Option] = {"map": map, "axes": axes, "boundary": boundary}
        return drive(
            self._http,
            self._calls.check_equivariance(name, dataset, version=version, seed=seed, grid=grid, **names, **options),
        )

    def submit(
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
    ) -> Job:
        """Hands in a prediction or a rollout as a job: accepted means that it will be computed, whatever breaks.

        The file is read and checked before the service accepts it, so what is wrong with it is raised here.

        Args:
            name: The model.
            dataset: As for `predict`.
            version: As for `predict`.
            map: As for `predict`.
            axes: As for `predict`.
            boundary: As for `predict`.
            steps: How often to apply the model, each time to what it gave; one prediction without it.
            every: Which states of a rollout are kept: every which one; all without it. It divides `steps`.
            idempotency_key: A name of the caller's own for this work. The same key with the same request is the same
                job, in another process too; without it each call is new work, once however often it is tried.
            options: `units`, `missing`, `group`, `stagger`, `dtype`, `precision`, `symmetrize`, `priority`: see
                `JobOptions`.

        Raises:
            PayloadError: The input is at fault; the class says how, and `detail` what would be right.
            UnknownModel, UnknownVersion: There is no such model or version.
            IdempotencyConflict: The key was used for another request.
            QuotaExceeded: There are as many unfinished jobs as there may be.
            EquifieldError: The call failed otherwise.
            TypeError, ValueError, OSError: An argument is wrong, or the file cannot be read.
        """
        names: dict[str, Option] = {"map": map, "axes": axes, "boundary": boundary}
        flow = self._calls.submit(
            name, dataset, idempotency_key, version=version, steps=steps, every=every, **names, **options
        )
        return self.job(drive(self._http, flow).id)

    def job(self, id: str) -> Job:
        """A job that was submitted before, by any process. Nothing is asked yet: its methods say if there is none.

        Args:
            id: The job's id.

        Raises:
            ValueError: It cannot be an id.
        """
        return Job(self._http, JobCalls(id, self._calls.policy))

    def jobs(self, status: str | None = None, model: str | None = None) -> Iterator[JobStatus]:
        """The states of all jobs, newest first, asked for page by page.

        Args:
            status: Only jobs with this one, as in `JobStatus.status`.
            model: Only jobs of this model.

        Raises:
            EquifieldError: A call failed.
        """
        return iterate(self._http, self._calls.jobs(status, model))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        policy = self._calls.policy
        return f"Client({policy.server!r}, timeout={policy.timeout:g}, retries={policy.retry})"
