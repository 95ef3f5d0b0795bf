"""What keeps a job from giving what was wanted of it, though every call was answered."""

from typing import Any

from ._exceptions import EquifieldError
from ._job_status import JobStatus


class JobError(EquifieldError):
    """A job cannot give what was wanted of it, for how it stands.

    Attributes:
        status: The job's state.
    """

    def __init__(self, message: str, status: JobStatus) -> None:
        self.status = status
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        """The error as its parts, so that it crosses process borders whole."""
        return type(self), (str(self), self.status)


class JobFailed(JobError):
    """The job failed; `status.failure` says why."""


class JobDismissed(JobError):
    """The job was cancelled."""


class JobTimeout(JobError, TimeoutError):
    """The job has not ended in time. It goes on."""


class ResultChanged(EquifieldError):
    """A job's result is not the one any more whose beginning was read."""
