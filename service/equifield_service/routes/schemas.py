"""The JSON that the service answers with, as OpenAPI describes it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from equifield.package.manifest import FieldSpec, GridSpec, Provenance

from ..domain.jobs import Job, Status
from ..domain.registry import Entry, Health, State

RESULTS = "http://www.opengis.net/def/rel/ogc/1.0/results"


class Problem(BaseModel):
    """What went wrong (RFC 9457). Further members carry the lists a person needs, such as `variables`, `wants`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:equifield:problem:<code>`")
    title: str = Field(description="The kind of problem, the same every time.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was found this time, and what would be right.")
    code: str = Field(description="The kind of problem, for programs; stable.")
    request_id: str = Field(description="Also in the header X-Request-Id, and in the log.")


class Row(BaseModel):
    """The relative error of one output field under one transformation."""

    element: str = Field(description="A group element or a translation.")
    field: str
    error: float | None = Field(description="||g^-1 f(g x) - f(x)|| / ||f(x)||; null when it is not finite.")


class Report(BaseModel):
    """How far a model is from commuting with its group, measured."""

    group: str
    grid: list[int]
    dtype: str
    tolerance: float
    passed: bool
    worst: Row
    rows: list[Row]
    caveats: list[str]


class Check(Report):
    """The report of one model, on the data of a request."""

    model: str
    version: str


class ModelInfo(BaseModel):
    """What a version of a model takes and gives. Where its manifest cannot be read, only name, state and reason."""

    name: str
    version: str
    versions: list[str] = Field(description="All versions of this model, oldest first.")
    title: str = ""
    description: str = ""
    licence: str = ""
    group: str = ""
    dtype: str = ""
    inputs: list[FieldSpec] = []
    outputs: list[FieldSpec] = []
    grid: GridSpec | None = None
    translation_step: int = 1
    time_step: float | None = Field(default=None, description="Seconds from a state to the one predicted from it.")
    digest: str = Field(default="", description="SHA-256 that identifies the package.")
    state: State
    reason: str | None = Field(default=None, description="Why it is not served.")
    certificate: Report | None = Field(default=None, description="The report at publication.")
    provenance: Provenance | None = None

    @classmethod
    def of(cls, entry: Entry, versions: list[str]) -> "ModelInfo":
        """The public view of an entry of the registry."""
        known: dict[str, Any] = {}
        if entry.manifest is not None:
            shared = set(cls.model_fields) & set(type(entry.manifest).model_fields)
            known = {name: getattr(entry.manifest, name) for name in shared - {"name", "version"}}
        return cls(
            **known,
            name=entry.package.model,
            version=entry.package.version,
            versions=versions,
            state=entry.state,
            reason=entry.reason,
            certificate=None if entry.certificate is None else Report.model_validate(entry.certificate),
        )


class ModelList(BaseModel):
    """Every version of every model in the store."""

    models: list[ModelInfo]


class Link(BaseModel):
    """Where something else is."""

    rel: str
    href: str
    type: str


class JobFailure(BaseModel):
    """Why a job failed."""

    code: str = Field(description="As in a problem.")
    detail: str


class Measured(BaseModel):
    """Numbers of the states of a rollout, some hundred at most, spread evenly."""

    steps: list[int] = Field(description="After which steps.")
    fields: dict[str, dict[str, list[float | None]]] = Field(
        description="By field: `mean_square` of the magnitude, `minimum` and `maximum` of the components, and "
        "`spectrum_slope`, the exponent of the power law that fits the spectrum best."
    )


class JobStatus(BaseModel):
    """A job, as statusInfo of OGC API - Processes has it, and more."""

    jobID: str
    type: Literal["process"] = "process"
    processID: str = Field(description="The model.")
    model: str
    version: str
    status: Status
    message: str = Field(description="A sentence for people, or nothing.")
    progress: int = Field(description="Percent.", ge=0, le=100)
    created: datetime
    updated: datetime
    started: datetime | None
    finished: datetime | None
    expires: datetime | None = Field(description="When the result goes.")
    steps: int | None = Field(description="Of a rollout.")
    every: int | None = Field(description="Which states of a rollout are given: every which one.")
    step: int = Field(description="Steps that are done.")
    failure: JobFailure | None
    diagnostics: Measured | None
    links: list[Link]

    @classmethod
    def of(cls, job: Job) -> "JobStatus":
        """The public view of a job."""
        wanted = job.order.parameters.get("steps") or {"steps": None, "every": None}
        shared = {name: getattr(job, name) for name in set(cls.model_fields) & set(vars(job))}
        return cls(
            **shared | {"failure": None if job.failure is None else vars(job.failure)},
            jobID=job.id,
            processID=job.order.model,
            model=job.order.model,
            version=job.order.version,
            **wanted,
            links=_links(f"/v1/jobs/{job.id}"),
        )


def _links(own: str) -> list[Link]:
    return [
        Link(rel="self", href=own, type="application/json"),
        Link(rel="events", href=f"{own}/events", type="text/event-stream"),
        Link(rel=RESULTS, href=f"{own}/result", type="application/netcdf"),
    ]


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobStatus]
    links: list[Link] = Field(description="`next` is where the list goes on, if it does.")


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class ModelHealth(BaseModel):
    """The state of one version of a model."""

    state: State
    reason: str | None = None


class Ready(BaseModel):
    """Whether every model is loaded, warm and has passed its self-check."""

    status: Health
    models: dict[str, ModelHealth] = Field(description="By `name/version`.")
