"""A job: what was asked for, how far it is, and which states may follow which."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Where a job stands, in the words of OGC API - Processes."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.ACCEPTED: frozenset({Status.RUNNING, Status.DISMISSED}),
    Status.RUNNING: frozenset({Status.ACCEPTED, Status.SUCCESSFUL, Status.FAILED, Status.DISMISSED}),
    Status.SUCCESSFUL: frozenset(),
    Status.FAILED: frozenset(),
    Status.DISMISSED: frozenset(),
}
"""What may follow each state. A running job is accepted once more when whoever runs it gives it back or dies."""


def before(status: Status) -> list[Status]:
    """The states that a job may come from."""
    return [one for one, following in TRANSITIONS.items() if status in following]


@dataclass(frozen=True)
class Piece:
    """A whole file of the spool: its name there, its size in bytes, and its SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A file of the spool from which work can go on, after `step` steps.

    Args:
        name: The file.
        step: Steps that are done.
        result: The file of the result, which grows.
        bytes: So many bytes of it are whole.
    """

    name: str
    step: int
    result: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Failure:
    """Why a job failed: the code of a problem, and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True)
class Order:
    """What somebody asks for.

    Args:
        id: From `new_id`; the names of the job's files begin with it.
        model: Name of the model.
        version: Its version, as it was when the job was accepted.
        input: What to compute on.
        digest: Of everything in the request that matters, to tell a retry from another request.
        owner: Name of the key that asks; none if the service has no keys.
        idempotency_key: What the client calls this request.
        priority: Higher ones go first.
        parameters: Of the work, as JSON; nothing here looks into them.
    """

    id: str
    model: str
    version: str
    input: Piece
    digest: str
    owner: str | None = None
    idempotency_key: str | None = None
    priority: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A job as the ledger knew it at one moment. Times are UTC, by the clock of the database.

    Args:
        order: What was asked for. Its input is gone once the job is expired.
        status: Where it stands.
        progress: Percent, from 0 to 100.
        message: A sentence for people.
        created: When it was accepted.
        updated: When anything about it changed.
        started: When it first ran.
        finished: When it ended.
        expires: When its result goes.
        step: Steps that are done.
        checkpoint: Where it would go on.
        diagnostics: Of the work, as JSON; nothing here looks into them.
        attempts: How often it was claimed. The last one to claim it, and nobody else, can change it.
        result: What came out; of a failed job, the part that is good.
        failure: Why it failed.
    """

    order: Order
    status: Status
    progress: int
    message: str
    created: datetime
    updated: datetime
    started: datetime | None
    finished: datetime | None
    expires: datetime | None
    step: int
    checkpoint: Checkpoint | None
    diagnostics: dict[str, Any] | None
    attempts: int
    result: Piece | None
    failure: Failure | None

    def __hash__(self) -> int:
        return hash((self.order.id, self.attempts, self.step, self.status))

    @property
    def id(self) -> str:
        """Its name: opaque, and not to be guessed."""
        return self.order.id


class LeaseLost(Exception):
    """A job is not one's own any more: it was dismissed, or taken over once the lease had run out. `job` says which."""

    def __init__(self, job: Job):
        super().__init__(
            f"Job {job.id} is {job.status}, in attempt {job.attempts}. Stop, and drop what was made of it."
        )
        self.job = job


def new_id() -> str:
    """A name for a job: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)
