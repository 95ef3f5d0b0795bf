"""Every knob of the service, from the environment (`EQUIFIELD_...`) or from keyword arguments."""

import importlib.util
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .access import read_keys

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MIB = 2**20


def _payload_processes() -> int:
    return min(4, os.cpu_count() or 1)


class Settings(BaseSettings):
    """How one service process is run. Frozen: what it was started with is what it runs with."""

    model_config = SettingsConfigDict(env_prefix="EQUIFIELD_", frozen=True, extra="forbid")

    store: str = Field(
        default="models_store",
        description="The model packages, `<name>/<version>/`: a folder, or a URL such as `s3://bucket/models`.",
    )
    store_cache: Path | None = Field(
        default=None,
        description="Folder for copies of the packages of a remote store, of this service alone; by default a "
        "temporary one.",
    )
    store_poll_s: float = Field(
        default=5.0, gt=0, description="Time between looks into the store for versions that are new, or gone."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")

    keys: Path | None = Field(
        default=None,
        description="File of keys, one JSON object per line, as `equifield new-key` writes them. "
        "Without one there are no keys, and only this machine can reach the service.",
    )
    open: bool = Field(
        default=False,
        validate_default=True,
        description="Without keys, listen on other addresses than loopback all the same: "
        "whoever reaches the port may use the service.",
    )
    max_connections: int = Field(
        default=800, ge=1, description="Connections held at one time; those beyond it are closed with 503."
    )
    header_timeout_s: float = Field(
        default=10.0, gt=0, description="Longest time for the head of a request to arrive; then 408."
    )
    body_patience_s: float = Field(
        default=10.0,
        gt=0,
        description="Time that a body may take to arrive, whatever its size; "
        "longer only as `EQUIFIELD_BODY_MIN_RATE` allows; then 408.",
    )
    body_min_rate: int = Field(
        default=8192, ge=1, description="Bytes per second that keep a body welcome after `EQUIFIELD_BODY_PATIENCE_S`."
    )
    reader_patience_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest time in which a client takes no byte of its answer; then it is cut off.",
    )

    max_batch: int = Field(
        default=8, ge=1, le=1024, description="Largest batch, in samples, that is compiled for a model."
    )
    max_compiled_grids: int = Field(
        default=8, ge=1, description="Grids kept compiled per model; the least recently used goes first."
    )
    max_device_bytes: int | None = Field(
        default=None,
        ge=1,
        description="Device memory for models and their programs; the least recently used model makes room, and is "
        "loaded again when it is asked for. By default there is no limit.",
    )
    monitor_share: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of live requests whose equivariance is checked when nothing else is to be done.",
    )
    max_queue_requests: int = Field(
        default=256, ge=1, description="Requests admitted at one time; beyond it the answer is 429."
    )
    max_queue_bytes: int = Field(
        default=512 * MIB, ge=1, description="Bytes of decoded input admitted at one time; beyond it 429."
    )

    jobs: str = Field(
        default="jobs",
        description="Where jobs keep their files: a folder, which is made, or a URL such as `s3://bucket/jobs`. "
        "With a URL a result is there once it is whole, and a job that is taken over begins anew.",
    )
    ledger: str | None = Field(
        default=None,
        validate_default=True,
        description="The database of jobs, `sqlite:///path/ledger.sqlite` or `postgresql://user@host/name`; by default "
        "SQLite in the folder of jobs.",
    )
    job_slots: int = Field(default=4, ge=1, description="Jobs worked on at one time.")
    job_lease_s: float = Field(
        default=30.0,
        gt=0,
        description="When a gateway has died, its jobs are taken over after so long.",
    )
    job_keep_s: float = Field(
        default=7 * 86400.0, gt=0, description="So long a job that has ended is kept, with its result; then 410."
    )
    max_jobs_per_key: int = Field(
        default=1000, ge=1, description="Unfinished jobs of one key, or of all without keys; beyond it 429."
    )
    max_job_steps: int = Field(default=100_000, ge=1, description="Most steps of a rollout in one job.")

    max_steps: int = Field(default=1000, ge=1, description="Most steps of a rollout in one request.")
    max_body_bytes: int = Field(default=64 * MIB, ge=1, description="Largest request body, as sent.")
    max_json_bytes: int = Field(
        default=MIB,
        ge=1,
        description="Most JSON in a request or an answer below `/v2`; larger tensors travel as bytes.",
    )
    max_decoded_bytes: int = Field(default=256 * MIB, ge=1, description="Most data a file may declare, once inflated.")
    arena_bytes: int = Field(
        default=256 * MIB,
        ge=MIB,
        description="Shared memory in each direction between the gateway and a child process. "
        "Only what is used takes up memory.",
    )

    payload_processes: int = Field(
        default_factory=_payload_processes, ge=1, description="Processes that read and write NetCDF."
    )
    payload_timeout_s: float = Field(
        default=15.0, gt=0, description="Longest time a payload process may spend on one file."
    )
    worker_start_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="Longest time for a worker to start, or to load, compile and check one model.",
    )
    batch_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest time for one batch, or for one of rollouts to end after its deadline; then the worker is "
        "replaced, and the next one tries once more.",
    )
    worker_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="Longest time to compile for a new grid, or for one check; then the worker is replaced.",
    )
    compilation_cache: Path | None = Field(
        default=None,
        description="Folder where JAX keeps compiled programs between runs. "
        "Whoever can write to it can run code in the worker.",
    )

    request_timeout_s: float = Field(
        default=60.0, gt=0, description="Deadline of a request without `Equifield-Timeout-Ms`."
    )
    max_request_timeout_s: float = Field(
        default=600.0, gt=0, description="Longest deadline; `Equifield-Timeout-Ms` is cut to it."
    )
    grace_seconds: float = Field(
        default=30.0, ge=0, description="Time that accepted requests have to finish after SIGTERM."
    )

    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="How the log on stderr reads: `json`, `console`, or what suits (`auto`)."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged. Every request is one line of level `info`."
    )
    otlp_endpoint: str | None = Field(
        default_factory=lambda: os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        pattern="^https?://",
        description="Where traces go, by OpenTelemetry's protocol over HTTP, such as `http://localhost:4318`. "
        "By default `OTEL_EXPORTER_OTLP_ENDPOINT`; without both there are no traces.",
    )

    @field_validator("keys")
    @classmethod
    def _keys_can_be_read(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_keys(path)
        return path

    @field_validator("open")
    @classmethod
    def _nobody_is_let_in_by_mistake(cls, is_open: bool, info: ValidationInfo) -> bool:
        host, keys = info.data.get("host"), info.data.get("keys")
        if keys is None and not is_open and "host" in info.data and "keys" in info.data and host not in LOOPBACK:
            raise ValueError(
                f"there are no keys, so whoever reaches {host} could use the service. Name a file of keys with "
                f"EQUIFIELD_KEYS (`equifield new-key` makes one), listen on 127.0.0.1, or let everyone in with "
                f"EQUIFIELD_OPEN=true"
            )
        return is_open

    @field_validator("ledger")
    @classmethod
    def _there_is_a_ledger(cls, ledger: str | None, info: ValidationInfo) -> str:
        jobs = info.data["jobs"]
        if ledger is None and "://" in jobs:
            raise ValueError(
                f"the files of jobs lie at {jobs}, where no database can be. Name one with EQUIFIELD_LEDGER, such as "
                f"postgresql://user@host/name"
            )
        return ledger or f"sqlite:///{Path(jobs).absolute()}/ledger.sqlite"

    @field_validator("otlp_endpoint")
    @classmethod
    def _traces_can_be_sent(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not all(map(importlib.util.find_spec, ("opentelemetry", "opentelemetry.sdk"))):
            raise ValueError("traces need packages that are not installed: pip install 'equifield[telemetry]'")
        return endpoint
