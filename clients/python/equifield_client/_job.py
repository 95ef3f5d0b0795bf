"""A job as its owner holds it: one class waits, one awaits."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import xarray as xr

from ._drivers import drive, drive_async, iterate, iterate_async
from ._job_calls import JobCalls, Tell
from ._job_status import JobStatus


class Job:
    """Long work that the service has accepted: it goes on without us, and is found again by its `id`.

    Made by `Client.submit` and `Client.job`, and usable as long as that client is open. Its methods that wait or read
    outlast a service that restarts and a machine that sleeps: see `Retry`.

    Example:
        ```python
        job = client.submit("swe-rollout-2d", "state.nc", steps=1000, every=10)
        job.wait(progress=True)
        print(job.result()["h"].isel(time=-1).max().item())  # fetches the last state, not the others
        ```

    Attributes:
        id: What the service calls the job: enough to come back to it with `Client.job`, in any process.
    """

    def __init__(self, http: httpx.Client, calls: JobCalls) -> None:
        self.id = calls.id
        self._http, self._calls = http, calls

    def status(self) -> JobStatus:
        """How the job stands now.

        Raises:
            UnknownJob, JobExpired: There is no such job, or no more.
            EquifieldError: The call failed otherwise.
        """
        return drive(self._http, self._calls.status())

    def wait(self, progress: bool = False, timeout: float | None = None) -> JobStatus:
        """Waits until the job has ended, well or not; returns how.

        Args:
            progress: Whether to show a bar with steps, rate and remaining time, on stderr, where someone is watching.
            timeout: The longest time to wait in seconds; None for as long as it takes.

        Raises:
            JobTimeout: The job has not ended in time. It goes on.
            EquifieldError: The service refused, or gave no answer for longer than `Retry.patience`.
        """
        with telling(progress, self.id) as tell:
            return drive(self._http, self._calls.wait(timeout, tell))

    def cancel(self) -> JobStatus:
        """Ends the job, if it has not ended yet; returns how it stands then.

        Raises:
            EquifieldError: The call failed.
        """
        return drive(self._http, self._calls.cancel())

    def result(self, timeout: float | None = None, partial: bool = False) -> xr.Dataset:
        """Waits until the job has ended, and opens its result, of which only the coordinates are read.

        The values are fetched through the client when they are touched, so keep it open, or call `load()` before it
        closes. To read all of a large result, `save` it and open the file. Where thousands of states are kept, their
        axis is not read at once either, and has no index until `dataset.set_xindex("step")` makes one.

        Args:
            timeout: The longest time to wait for the end in seconds; None for as long as it takes.
            partial: Whether to open what there is when the job has failed or was cancelled.

        Raises:
            JobFailed, JobDismissed: The job did not succeed, and `partial` is not set.
            JobUnsuccessful: The job did not succeed, and has no result at all.
            JobTimeout: The job has not ended in time. It goes on.
            ResultChanged: Also when values are touched: the result is another one by now.
            EquifieldError: A call failed, also when values are touched.
        """
        return drive(self._http, self._calls.result(lambda flow: drive(self._http, flow), timeout, partial))

    def save(self, path: str | os.PathLike[str], timeout: float | None = None, partial: bool = False) -> None:
        """Waits until the job has ended, and writes its result to a NetCDF file.

        The file appears under its name when it is whole. A download that breaks goes on where it was.

        Args:
            path: The file, which is replaced if it exists.
            timeout: As for `result`.
            partial: As for `result`.

        Raises:
            OSError: The file cannot be written.
            EquifieldError: As for `result`.
        """
        drive(self._http, self._calls.save(Path(path), timeout, partial))

    def frames(self) -> Iterator[xr.Dataset]:
        """The states that are kept, one dataset in memory for each, as soon as it is computed, until the job has ended.

        Raises:
            JobFailed, JobDismissed: After the last state, if the job did not succeed.
            EquifieldError: A call failed.
        """
        return iterate(self._http, self._calls.frames())

    def __repr__(self) -> str:
        return f"Job({self.id!r})"


class AsyncJob:
    """`Job` for asyncio and trio: the same methods, awaited.

    A result that is read while it is used blocks who touches it, as any `xarray.Dataset` from a file does: fetch in a
    thread what is needed, with `await dataset.load_async()` or `await anyio.to_thread.run_sync(dataset.load)`.

    Attributes:
        id: As of `Job`.
    """

    def __init__(self, http: httpx.AsyncClient, calls: JobCalls, blocking: Callable[[], httpx.Client]) -> None:
        self.id = calls.id
        self._http, self._calls, self._blocking = http, calls, blocking

    async def status(self) -> JobStatus:
        """`Job.status`, awaited."""
        return await drive_async(self._http, self._calls.status())

    async def wait(self, progress: bool = False, timeout: float | None = None) -> JobStatus:
        """`Job.wait`, awaited."""
        with telling(progress, self.id) as tell:
            return await drive_async(self._http, self._calls.wait(timeout, tell))

    async def cancel(self) -> JobStatus:
        """`Job.cancel`, awaited."""
        return await drive_async(self._http, self._calls.cancel())

    async def result(self, timeout: float | None = None, partial: bool = False) -> xr.Dataset:
        """`Job.result`, awaited. The values are fetched by a connection that blocks.

        Raises:
            ValueError: The client has a transport of its own, which cannot block: `save` the result and open the file.
            EquifieldError: As for `Job.result`.
        """
        http = self._blocking()
        return await drive_async(self._http, self._calls.result(lambda flow: drive(http, flow), timeout, partial))

    async def save(self, path: str | os.PathLike[str], timeout: float | None = None, partial: bool = False) -> None:
        """`Job.save`, awaited."""
        await drive_async(self._http, self._calls.save(Path(path), timeout, partial))

    def frames(self) -> AsyncIterator[xr.Dataset]:
        """`Job.frames`, for `async for`."""
        return iterate_async(self._http, self._calls.frames())

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r})"


def telling(progress: bool, job_id: str) -> contextlib.AbstractContextManager[Tell]:
    """What is told each state of a job that is waited for: a bar, or nobody."""
    if not progress:
        return contextlib.nullcontext(lambda status: None)
    from ._progress import bar  # and rich with it, where it is wanted

    return bar(job_id)
