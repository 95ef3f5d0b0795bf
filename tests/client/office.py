"""A scripted office of jobs: it answers as the service promises to, and misbehaves where a test wants it to."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xarray as xr

ID = "0123456789abcdef0123456789abcdef"
NOW = "2026-02-28T12:00:00+00:00"


def status_json(status: str = "running", step: int = 0, **more: Any) -> dict[str, Any]:
    """A job's state as the service sends it."""
    return {
        "jobID": ID,
        "type": "process",
        "processID": "m",
        "model": "m",
        "version": "1",
        "status": status,
        "message": "",
        "progress": step * 10,
        "created": NOW,
        "updated": NOW,
        "started": NOW,
        "finished": None,
        "expires": None,
        "steps": 10,
        "every": 1,
        "step": step,
        "failure": None,
        "diagnostics": None,
        "links": [{"rel": "self", "href": f"/v1/jobs/{ID}", "type": "application/json"}],
    } | more


def failed_json(step: int = 0) -> dict[str, Any]:
    """The state of a rollout that diverged after `step` steps."""
    return status_json("failed", step, failure={"code": "diverged", "detail": "Not finite at step 4."})


def states(records: int, points: int = 3000) -> xr.Dataset:
    """So many states of a rollout."""
    values = np.arange(records * points, dtype="f4").reshape(records, points)
    return xr.Dataset(
        {"u": (("time", "x"), values), "v": (("time", "x"), -values)},
        coords={"time": ("time", np.arange(1.0, records + 1)), "x": np.arange(points, dtype="f4")},
    )


def file_of(dataset: xr.Dataset) -> bytes:
    """The dataset as the service writes it: steps as records."""
    return bytes(dataset.to_netcdf(format="NETCDF3_64BIT", engine="scipy", unlimited_dims={"time"} & set(dataset.dims)))


@dataclass
class Office:
    """One job; each question for its state may bring the next of `course`, and the result that goes with it."""

    course: list[tuple[dict[str, Any], bytes | None]]
    submitted: dict[str, Any] = field(default_factory=status_json)
    ranges: list[Mapping[str, str]] = field(default_factory=list)
    polls: list[Mapping[str, str]] = field(default_factory=list)
    before_result: Callable[[BaseHTTPRequestHandler, int], bool] = lambda handler, number: False
    """Called with the number of each request for the result; True if it has dealt with it."""
    version: int = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers a request."""
        path = urlsplit(handler.path).path
        if handler.command == "POST":
            self._json(handler, 202, self.submitted, Location=f"/v1/jobs/{ID}")
        elif path == f"/v1/jobs/{ID}/result":
            self._result(handler)
        elif path == f"/v1/jobs/{ID}":
            self._status(handler)
        else:
            self._problem(handler, 404, "unknown_job")

    def _status(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "DELETE":
            self.course = [(status_json("dismissed", 4), self.course[0][1])]
        elif handler.headers.get("If-None-Match") and len(self.course) > 1:
            self.course.pop(0)
            self.version += 1
        self.polls.append(dict(handler.headers))
        etag = f'"s{self.version}"'
        if handler.headers.get("If-None-Match") == etag:
            self._send(handler, 304, b"", ETag=etag)
        else:
            self._json(handler, 200, self.course[0][0], ETag=etag)

    def _result(self, handler: BaseHTTPRequestHandler) -> None:
        self.ranges.append(dict(handler.headers))
        if self.before_result(handler, len(self.ranges)):
            return
        state, content = self.course[0]
        if content is None:
            ended = state["status"] in ("failed", "dismissed")
            return self._problem(handler, *((409, "job_unsuccessful") if ended else (404, "result_not_ready")))
        etag = f'"r{self.version}"'
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
        if asked is None or handler.headers.get("If-Range", etag) != etag:
            return self._send(handler, 200, content, ETag=etag)
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(content))
        if start >= len(content):
            return self._problem(handler, 416, "invalid_query")
        given = f"bytes {start}-{stop - 1}/{len(content)}"
        return self._send(handler, 206, content[start:stop], ETag=etag, Content_Range=given)

    def _json(self, handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
        self._send(handler, status, json.dumps(body).encode(), Content_Type="application/json", **headers)

    def _problem(self, handler: BaseHTTPRequestHandler, status: int, code: str) -> None:
        body = json.dumps({"code": code, "detail": f"So it is: {code}."}).encode()
        self._send(handler, status, body, Content_Type="application/problem+json")

    def _send(self, handler: BaseHTTPRequestHandler, status: int, content: bytes, **headers: str) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
