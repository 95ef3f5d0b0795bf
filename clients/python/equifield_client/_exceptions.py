"""Everything that can go wrong in a call to the service.

    EquifieldError
    ├── APIConnectionError              no answer: refused, reset, cut off, or no such host
    │   └── APITimeoutError             no answer in time
    ├── APIResponseError                an answer that is not what the service promises
    ├── JobError                        how a job stands keeps it from giving what was wanted
    │   ├── JobFailed, JobDismissed     it ended without success
    │   └── JobTimeout                  it has not ended yet; also a TimeoutError
    ├── ResultChanged                   a result is not the one any more whose beginning was read
    └── APIStatusError                  the service said no; a code this version does not know stays here
        ├── PayloadError                the file or dataset is at fault
        │   ├── EmptyBody, MalformedFile, NotNetCDF, UnsafeFile, UnsupportedEncoding
        │   ├── PayloadTooLarge, InflatedTooLarge
        │   ├── VariableMissing, VariableAmbiguous, VariableUnusable
        │   ├── AxisMissing, AxisAmbiguous, StaggeredGrid, SpacingNotUniform, GridUnsupported
        │   ├── EmptyDimension, MissingValues, InfiniteValues, SchemaMismatch
        │   ├── UnitsMismatch, GroupMissing, DigestMismatch
        │   └── InvalidTensors
        ├── InvalidQuery, NotAcceptable, NotAutoregressive
        ├── UnknownModel, UnknownVersion, ModelUnavailable
        ├── QueueFull, DeadlineExceeded
        ├── KeyRefused, ScopeMissing, RateLimited, BodyTooSlow
        ├── UnknownJob, JobExpired, IdempotencyConflict, QuotaExceeded
        ├── ResultNotReady, JobUnsuccessful
        ├── LedgerUnavailable, SpoolFull, SpoolFailed
        └── WorkerFailed, PayloadProcessFailed

Wrong arguments are Python's own `ValueError` and `TypeError`, and a file that cannot be opened is `OSError`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Self


class EquifieldError(Exception):
    """The base of every error that a call to the service can raise."""


class APIConnectionError(EquifieldError):
    """The service gave no answer: it cannot be reached, or the connection broke."""


class APITimeoutError(APIConnectionError):
    """The service gave no answer in time."""


class APIResponseError(EquifieldError):
    """The answer is not what the service promises: perhaps something else answers at this address."""


class APIStatusError(EquifieldError):
    """The service refused or failed, and said why.

    Attributes:
        code: The stable code of the problem (`"variable_missing"`), or None if the answer had none.
        status_code: The HTTP status.
        detail: A sentence that says what was wrong and what would be right.
        request_id: What the service calls this request in its logs.
        problem: The whole problem document (RFC 9457), with the lists that some codes carry:
            `variables` in the file, what the model `wants`.
        retry_after: The seconds after which the service asks to be tried again, if it does.
    """

    code: str | None = None

    def __init__(
        self,
        status_code: int,
        detail: str,
        *,
        code: str | None = None,
        request_id: str | None = None,
        problem: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = code if code is not None else type(self).code
        self.status_code = status_code
        self.detail = detail
        self.request_id = request_id
        self.problem = dict(problem or {})
        self.retry_after = retry_after
        known = [self.code, f"HTTP {status_code}", f"request {request_id}" if request_id else None]
        super().__init__(f"{detail} ({', '.join(part for part in known if part)})")

    def __reduce__(self) -> tuple[Any, ...]:
        """The error as its parts, so that it crosses process borders whole."""
        options = {name: getattr(self, name) for name in ("code", "request_id", "problem", "retry_after")}
        return _rebuild, (type(self), self.status_code, self.detail, options)

    @classmethod
    def leaves(cls) -> Iterator[type[Self]]:
        """The classes below this one that nothing derives from: one per code."""
        children = cls.__subclasses__()
        if not children:
            yield cls
        for child in children:
            yield from child.leaves()


def _rebuild(kind: type[APIStatusError], status_code: int, detail: str, options: dict[str, Any]) -> APIStatusError:
    return kind(status_code, detail, **options)


class PayloadError(APIStatusError):
    """The file or dataset that was sent is at fault."""


class EmptyBody(PayloadError):
    """The request has no body."""

    code = "empty_body"


class MalformedFile(PayloadError):
    """The file is damaged or cut short."""

    code = "malformed_file"


class NotNetCDF(PayloadError):
    """The body is not a NetCDF file that the service reads."""

    code = "not_netcdf"


class UnsafeFile(PayloadError):
    """The file uses a feature that is refused for safety."""

    code = "unsafe_file"


class UnsupportedEncoding(PayloadError):
    """The content encoding is not supported."""

    code = "unsupported_encoding"


class PayloadTooLarge(PayloadError):
    """The body is larger than the service accepts."""

    code = "payload_too_large"


class InflatedTooLarge(PayloadError):
    """The file declares more data than the service accepts."""

    code = "inflated_too_large"


class VariableMissing(PayloadError):
    """A field that the model needs is not in the file."""

    code = "variable_missing"


class VariableAmbiguous(PayloadError):
    """A field that the model needs could be more than one variable."""

    code = "variable_ambiguous"


class VariableUnusable(PayloadError):
    """A variable has a type or packing that cannot become numbers."""

    code = "variable_unusable"


class AxisMissing(PayloadError):
    """A spatial axis cannot be found in the file."""

    code = "axis_missing"


class AxisAmbiguous(PayloadError):
    """A spatial axis could be more than one dimension."""

    code = "axis_ambiguous"


class StaggeredGrid(PayloadError):
    """The components of one field live on different grids."""

    code = "staggered_grid"


class SpacingNotUniform(PayloadError):
    """The grid is not equally spaced."""

    code = "spacing_not_uniform"


class GridUnsupported(PayloadError):
    """The model cannot take this grid."""

    code = "grid_unsupported"


class EmptyDimension(PayloadError):
    """A dimension has length zero."""

    code = "empty_dimension"


class MissingValues(PayloadError):
    """A field has missing values."""

    code = "missing_values"


class InfiniteValues(PayloadError):
    """A field has infinite values."""

    code = "infinite_values"


class UnitsMismatch(PayloadError):
    """The units of a field cannot be converted to the model's."""

    code = "units_mismatch"


class GroupMissing(PayloadError):
    """The file has no such group."""

    code = "group_missing"


class DigestMismatch(PayloadError):
    """The body is not what its Content-Digest says."""

    code = "digest_mismatch"


class SchemaMismatch(PayloadError):
    """The file's tensor attributes contradict the model."""

    code = "schema_mismatch"


class InvalidTensors(PayloadError):
    """The tensors are not those that the model takes."""

    code = "invalid_tensors"


class InvalidQuery(APIStatusError):
    """A query parameter or header is not valid."""

    code = "invalid_query"


class NotAcceptable(APIStatusError):
    """The service has no representation that the client accepts."""

    code = "not_acceptable"


class NotAutoregressive(APIStatusError):
    """The model does not take what it gives, so it has no rollout."""

    code = "not_autoregressive"


class UnknownModel(APIStatusError):
    """There is no such model."""

    code = "unknown_model"


class UnknownVersion(APIStatusError):
    """The model has no such version."""

    code = "unknown_version"


class ModelUnavailable(APIStatusError):
    """The model is not being served."""

    code = "model_unavailable"


class QueueFull(APIStatusError):
    """The service is busy, and stayed so through every try."""

    code = "queue_full"


class DeadlineExceeded(APIStatusError):
    """The request took longer than its deadline, or waited too long in the queue."""

    code = "deadline_exceeded"


class WorkerFailed(APIStatusError):
    """The computation failed."""

    code = "worker_failed"


class PayloadProcessFailed(APIStatusError):
    """The service could not read or write the file, for reasons of its own."""

    code = "payload_process_failed"


class KeyRefused(APIStatusError):
    """The request has no key, or one that the service does not know."""

    code = "key_refused"


class ScopeMissing(APIStatusError):
    """The key is known, but does not open this call."""

    code = "scope_missing"


class RateLimited(APIStatusError):
    """The key has used up its rate, and had through every try."""

    code = "rate_limited"


class BodyTooSlow(APIStatusError):
    """The body reached the service too slowly."""

    code = "body_too_slow"


class UnknownJob(APIStatusError):
    """There is no such job."""

    code = "unknown_job"


class JobExpired(APIStatusError):
    """The job's time is over and its result is gone."""

    code = "job_expired"


class IdempotencyConflict(APIStatusError):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"


class QuotaExceeded(APIStatusError):
    """The key has as many unfinished jobs as it may have."""

    code = "quota_exceeded"


class ResultNotReady(APIStatusError):
    """The job has no result yet."""

    code = "result_not_ready"


class JobUnsuccessful(APIStatusError):
    """The job failed or was dismissed before it had any result."""

    code = "job_unsuccessful"


class LedgerUnavailable(APIStatusError):
    """The service's database of jobs does not answer."""

    code = "ledger_unavailable"


class SpoolFull(APIStatusError):
    """The service has no room for the job."""

    code = "spool_full"


class SpoolFailed(APIStatusError):
    """The service cannot read or write the files of the job."""

    code = "spool_failed"


BY_CODE: Mapping[str, type[APIStatusError]] = {
    leaf.code: leaf for leaf in APIStatusError.leaves() if leaf.code is not None
}
"""The class of each code that this version knows."""
