"""Everything that can go wrong with a request, as typed errors with a stable code.

    DomainError
    ├── PayloadError            the file or body that was sent
    │   ├── EmptyBody, MalformedFile, NotNetCDF, UnsafeFile, UnsupportedEncoding
    │   ├── PayloadTooLarge, InflatedTooLarge
    │   ├── VariableMissing, VariableAmbiguous, VariableUnusable
    │   ├── AxisMissing, AxisAmbiguous, StaggeredGrid, SpacingNotUniform, GridUnsupported
    │   ├── EmptyDimension, MissingValues, InfiniteValues, SchemaMismatch
    │   └── UnitsMismatch, GroupMissing, DigestMismatch, InvalidTensors
    ├── InvalidQuery, NotAcceptable, NotAutoregressive
    ├── UnknownModel, UnknownVersion, ModelUnavailable
    ├── QueueFull, DeadlineExceeded
    ├── KeyRefused, ScopeMissing, RateLimited, BodyTooSlow
    ├── JobError                its ledger, its files, its result
    │   ├── UnknownJob, JobExpired, IdempotencyConflict, QuotaExceeded
    │   ├── ResultNotReady, JobUnsuccessful
    │   └── LedgerUnavailable, SpoolFull, SpoolFailed
    └── WorkerFailed, PayloadProcessFailed

The errors know no HTTP: `routes.problems` holds the one table from class to status.
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """A request that cannot be answered: a stable `code`, a sentence, and lists a person needs."""

    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON, to cross a process border."""
        return {"code": self.code, "detail": self.detail, "extra": self.extra}

    @staticmethod
    def from_dict(error: dict[str, Any]) -> "DomainError":
        """The error that `to_dict` described; an unknown code becomes `WorkerFailed`."""
        by_code = {kind.code: kind for kind in leaves(DomainError)}
        kind = by_code.get(str(error.get("code")), WorkerFailed)
        return kind(str(error.get("detail")), **dict(error.get("extra", {})))


def leaves(base: type[DomainError]) -> list[type[DomainError]]:
    """The concrete errors below `base`."""
    children = base.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [base]


class PayloadError(DomainError):
    """The body of the request is at fault."""


class EmptyBody(PayloadError):
    code, title = "empty_body", "The request has no body"


class MalformedFile(PayloadError):
    code, title = "malformed_file", "The file is damaged or cut short"


class NotNetCDF(PayloadError):
    code, title = "not_netcdf", "The body is not a NetCDF file that this service reads"


class UnsafeFile(PayloadError):
    code, title = "unsafe_file", "The file uses a feature that is refused for safety"


class UnsupportedEncoding(PayloadError):
    code, title = "unsupported_encoding", "The content encoding is not supported"


class PayloadTooLarge(PayloadError):
    code, title = "payload_too_large", "The body is larger than this service accepts"


class InflatedTooLarge(PayloadError):
    code, title = "inflated_too_large", "The file declares more data than this service accepts"


class VariableMissing(PayloadError):
    code, title = "variable_missing", "A field that the model needs is not in the file"


class VariableAmbiguous(PayloadError):
    code, title = "variable_ambiguous", "A field that the model needs could be more than one variable"


class VariableUnusable(PayloadError):
    code, title = "variable_unusable", "A variable has a type or packing that cannot become numbers"


class AxisMissing(PayloadError):
    code, title = "axis_missing", "A spatial axis cannot be found in the file"


class AxisAmbiguous(PayloadError):
    code, title = "axis_ambiguous", "A spatial axis could be more than one dimension"


class StaggeredGrid(PayloadError):
    code, title = "staggered_grid", "The components of one field live on different grids"


class SpacingNotUniform(PayloadError):
    code, title = "spacing_not_uniform", "The grid is not equally spaced"


class GridUnsupported(PayloadError):
    code, title = "grid_unsupported", "The model cannot take this grid"


class EmptyDimension(PayloadError):
    code, title = "empty_dimension", "A dimension has length zero"


class MissingValues(PayloadError):
    code, title = "missing_values", "A field has missing values"


class InfiniteValues(PayloadError):
    code, title = "infinite_values", "A field has infinite values"


class SchemaMismatch(PayloadError):
    code, title = "schema_mismatch", "The file's tensor attributes contradict the model"


class UnitsMismatch(PayloadError):
    code, title = "units_mismatch", "The units of a field cannot be converted to the model's"


class GroupMissing(PayloadError):
    code, title = "group_missing", "The file has no such group"


class DigestMismatch(PayloadError):
    code, title = "digest_mismatch", "The body is not what its Content-Digest says"


class InvalidTensors(PayloadError):
    code, title = "invalid_tensors", "The tensors are not those that the model takes"


class InvalidQuery(DomainError):
    code, title = "invalid_query", "A query parameter or header is not valid"


class NotAcceptable(DomainError):
    code, title = "not_acceptable", "No representation that the client accepts"


class NotAutoregressive(DomainError):
    code, title = "not_autoregressive", "The model does not take what it gives, so it has no rollout"


class UnknownModel(DomainError):
    code, title = "unknown_model", "There is no such model"


class UnknownVersion(DomainError):
    code, title = "unknown_version", "The model has no such version"


class ModelUnavailable(DomainError):
    code, title = "model_unavailable", "The model is not being served"


class QueueFull(DomainError):
    code, title = "queue_full", "The service is busy"


class DeadlineExceeded(DomainError):
    code, title = "deadline_exceeded", "The request took longer than its deadline"


class WorkerFailed(DomainError):
    code, title = "worker_failed", "The computation failed"


class PayloadProcessFailed(DomainError):
    code, title = "payload_process_failed", "The file could not be read or written"


class KeyRefused(DomainError):
    code, title = "key_refused", "The request has no valid key"


class ScopeMissing(DomainError):
    code, title = "scope_missing", "The key does not open this"


class RateLimited(DomainError):
    code, title = "rate_limited", "The key has used up its rate"


class BodyTooSlow(DomainError):
    code, title = "body_too_slow", "The body came too slowly"


class JobError(DomainError):
    """Something about jobs, their ledger or their spool."""


class UnknownJob(JobError):
    code, title = "unknown_job", "There is no such job"


class JobExpired(JobError):
    code, title = "job_expired", "The job's time is over and its result is gone"


class IdempotencyConflict(JobError):
    code, title = "idempotency_conflict", "The idempotency key was used for another request"


class QuotaExceeded(JobError):
    code, title = "quota_exceeded", "The key has as many unfinished jobs as it may have"


class ResultNotReady(JobError):
    code, title = "result_not_ready", "The job has no result yet"


class JobUnsuccessful(JobError):
    code, title = "job_unsuccessful", "The job ended without a result"


class LedgerUnavailable(JobError):
    code, title = "ledger_unavailable", "The database of jobs does not answer"


class SpoolFull(JobError):
    code, title = "spool_full", "There is no room for the job"


class SpoolFailed(JobError):
    code, title = "spool_failed", "The files of the job cannot be read or written"
