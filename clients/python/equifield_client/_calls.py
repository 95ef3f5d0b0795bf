"""Every call of the service, written once, as a flow: what is sent, and what is made of the answer."""

import contextlib
import functools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import xarray as xr

from ._exceptions import APIResponseError
from ._flow import Ask, Flow, Give, Policy, Reply, Stream, exchange, work
from ._job_status import JobList, JobStatus
from ._models import EquivarianceReport, ModelInfo, ModelList, parse
from ._netcdf import Source, body_of, decode, recognised
from ._text import clean

T = TypeVar("T")
Option = str | int | Sequence[int] | Mapping[str, str] | None

NETCDF = "application/netcdf"
JSON = "application/json"
LONGEST_KEY = 200
PAGE = 500
"""Jobs that are asked for at once."""


@dataclass(frozen=True)
class Calls:
    """The service's calls under one policy."""

    policy: Policy

    def models(self) -> Flow[list[ModelInfo]]:
        """`GET /v1/models`"""
        reply = yield from self._get("/v1/models")
        return list(understood(reply, read_json(ModelList), self.policy).models)

    def model(self, name: str, version: str | None) -> Flow[ModelInfo]:
        """`GET /v1/models/{name}` and `GET /v1/models/{name}/versions/{version}`"""
        tail = "" if version is None else f"/versions/{segment('version', version)}"
        reply = yield from self._get(f"/v1/models/{segment('name', name)}{tail}")
        return understood(reply, read_json(ModelInfo), self.policy)

    def predict(self, name: str, source: Source, **options: Option) -> Flow[xr.Dataset]:
        """`POST /v1/models/{name}/predict`, and the answer opened."""
        reply = yield from self._predict(name, source, options)
        dataset = yield from work(functools.partial(understood, reply, decode, self.policy))
        return dataset

    def predict_bytes(self, name: str, source: Source, **options: Option) -> Flow[bytes]:
        """`POST /v1/models/{name}/predict`, and the answer as it came."""
        reply = yield from self._predict(name, source, options)
        return understood(reply, recognised, self.policy)

    def check_equivariance(self, name: str, source: Source | None, **options: Option) -> Flow[EquivarianceReport]:
        """`POST /v1/models/{name}/equivariance`"""
        ask = post(f"/v1/models/{segment('name', name)}/equivariance", query(options), accept=JSON)
        body = b"" if source is None else (yield from work(functools.partial(body_of, source)))
        if source is not None and not body:
            raise ValueError(
                "`check_equivariance` was given a file of 0 bytes, which the service would take for a "
                "wish to check random fields. Give a NetCDF file, or None for random fields."
            )
        reply = yield from exchange(ask(body), self.policy)
        return understood(reply, read_json(EquivarianceReport), self.policy)

    def submit(self, name: str, source: Source, key: str | None, **options: Option) -> Flow[JobStatus]:
        """`POST /v1/jobs`"""
        ask = post("/v1/jobs", query({"model": name, **options}), accept=JSON, key=key)
        body = yield from work(functools.partial(body_of, source))
        reply = yield from exchange(ask(body), self.policy)
        return understood(reply, read_json(JobStatus), self.policy)

    def jobs(self, status: str | None, model: str | None) -> Stream[JobStatus]:
        """`GET /v1/jobs`, page by page."""
        params = query({"limit": PAGE, "status": status, "model": model})
        while True:
            reply = yield from exchange(Ask("GET", "/v1/jobs", params, {"Accept": JSON}), self.policy)
            page = understood(reply, read_json(JobList), self.policy)
            for job in page.jobs:
                yield Give(job)
            following = next((link.href for link in page.links if link.rel == "next"), None)
            if following is None:
                return
            with understanding(self.policy):
                params = {**params, "cursor": cursor_in(following)}

    def _get(self, path: str) -> Flow[Reply]:
        return exchange(Ask("GET", path, headers={"Accept": JSON}), self.policy)

    def _predict(self, name: str, source: Source, options: Mapping[str, Option]) -> Flow[Reply]:
        ask = post(f"/v1/models/{segment('name', name)}/predict", query(options), accept=NETCDF)
        body = yield from work(functools.partial(body_of, source))
        return (yield from exchange(ask(body), self.policy))


@contextlib.contextmanager
def understanding(policy: Policy, source: str = "") -> Iterator[None]:
    """Turns a `ValueError` about what the service said into an `APIResponseError`; `source` says in which answer."""
    try:
        yield
    except ValueError as error:
        raise APIResponseError(
            f"The answer of {policy.server} cannot be used: {clean(str(error))}. Does an Equifield service answer at "
            f"this address?{source}"
        ) from error


def understood(reply: Reply, reader: Callable[[bytes], T], policy: Policy) -> T:
    """What `reader` makes of an answer.

    Raises:
        APIResponseError: It cannot make anything of it.
    """
    with understanding(policy, f" (HTTP {reply.status}, request {reply.request_id})"):
        return reader(reply.content)


def post(path: str, params: Mapping[str, str], *, accept: str, key: str | None = None) -> Callable[[bytes], Ask]:
    """A POST that lacks only its body; every try of it carries the same key, by default a new one."""
    if key is not None and not (key.isascii() and key.isprintable() and 0 < len(key) <= LONGEST_KEY):
        raise ValueError(
            f"`idempotency_key` must be 1 to {LONGEST_KEY} printable ASCII characters, but is {key[:300]!r}."
        )
    headers = {"Accept": accept, "Content-Type": NETCDF, "Idempotency-Key": key or str(uuid.uuid4())}
    return functools.partial(Ask, "POST", path, params, headers)


def read_json(kind: type[T]) -> Callable[[bytes], T]:
    """What reads the `kind` that a JSON text describes."""
    return lambda content: parse(kind, json.loads(content))


def cursor_in(href: str) -> str:
    """The cursor that a link leads to. The link itself is not followed: it could lead elsewhere, with the key."""
    cursor = parse_qs(urlsplit(href).query).get("cursor")
    if not cursor:
        raise ValueError(f"the link to the next page, {href[:200]!r}, has no cursor")
    return cursor[0]


def segment(what: str, value: str) -> str:
    """One part of a path, quoted so that it stays one part."""
    if not value.strip("."):
        raise ValueError(f"The model's {what} must be a name, but is {value!r}. `models()` lists what there is.")
    return quote(value, safe="")


def query(options: Mapping[str, Option]) -> dict[str, str]:
    """The options that were given, as query parameters: pairs as `u:u10,v:v10`, grids as `64,128`."""
    return {name: _written(name, value) for name, value in options.items() if value is not None}


def _written(name: str, value: Option) -> str:
    if isinstance(value, Mapping):
        for part in (*value.keys(), *value.values()):
            if not part or {":", ","} & set(part):
                raise ValueError(
                    f"`{name}` holds the name {part!r}, but a name must not be empty or contain ':' or ',', "
                    f"which separate names on the wire. Rename it, as with `dataset.rename`."
                )
        return ",".join(f"{key}:{part}" for key, part in value.items())
    if isinstance(value, (str, int)) or value is None:
        return str(value)
    return ",".join(map(str, value))
