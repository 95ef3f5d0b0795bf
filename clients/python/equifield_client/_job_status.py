"""What the service says about a job, as typed values: the statusInfo of OGC API - Processes, and what we add."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

ENDED = ("successful", "failed", "dismissed")


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a stable code (`"diverged"`) and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class FieldDiagnostics:
    """Numbers about one field at each of the steps that `Diagnostics.steps` names; NaN where there is none.

    Attributes:
        mean_square: Of all components; of a velocity, twice the mean energy.
        minimum: The smallest value.
        maximum: The largest value.
        spectrum_slope: The slope of the power spectrum in logarithms.
    """

    mean_square: tuple[float, ...] = ()
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()
    spectrum_slope: tuple[float, ...] = ()


@dataclass(frozen=True)
class Diagnostics:
    """How a rollout goes: some of its steps, and numbers about each field at those."""

    steps: tuple[int, ...]
    fields: Mapping[str, FieldDiagnostics]


@dataclass(frozen=True)
class JobStatus:
    """The state of a job when the service was asked.

    Attributes:
        id: The job's name, for `Client.job`.
        status: `"accepted"`, `"running"`, `"successful"`, `"failed"` or `"dismissed"`.
        message: A sentence, or nothing.
        progress: From 0 to 100.
        expires: When the job and its result will be removed, if that is known.
        steps: How often the model is to be applied; None for one prediction.
        every: Which states are kept: every which one.
        step: How many steps are done.
        failure: Why it failed, if it did.
        diagnostics: Numbers about its steps so far, if there are any.
    """

    id: str = field(metadata={"key": "jobID"})
    model: str
    version: str
    status: str
    created: datetime
    updated: datetime
    message: str = ""
    progress: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    expires: datetime | None = None
    steps: int | None = None
    every: int | None = None
    step: int = 0
    failure: Failure | None = None
    diagnostics: Diagnostics | None = None

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in ENDED


@dataclass(frozen=True)
class Link:
    """A link of an answer: its relation, and where it leads."""

    rel: str
    href: str


@dataclass(frozen=True)
class JobList:
    """One page of `GET /v1/jobs`."""

    jobs: tuple[JobStatus, ...]
    links: tuple[Link, ...] = ()
