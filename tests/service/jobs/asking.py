"""Jobs over real HTTP: submitted, awaited, fetched."""

from typing import Any

import httpx
import xarray as xr

from tests.service import files

JOBS = "/v1/jobs"
LONG = 100_000
"""Steps that take longer than a test looks at them."""
ENDED = ("successful", "failed", "dismissed")


def submitted(http: httpx.Client, data: xr.Dataset, headers: dict[str, str] | None = None, **query: Any) -> str:
    """The path of a job that was accepted."""
    answer = http.post(JOBS, content=files.netcdf3(data), params={"model": "calm", **query}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["location"])


def awaited(http: httpx.Client, path: str, *statuses: str, step: int = 0) -> dict[str, Any]:
    """A job once it has ended, or stands as one of `statuses` after so many steps: by long polling."""
    headers = {"Prefer": "wait=30"}
    for _ in range(2000):
        answer = http.get(path, headers=headers)
        if answer.status_code == 304:
            continue
        found: dict[str, Any] = answer.raise_for_status().json()
        if found["status"] in ENDED or (found["status"] in statuses and found["step"] >= step):
            return found
        headers["If-None-Match"] = answer.headers["etag"]
    raise AssertionError(f"the job still stands at {found}")


def done(http: httpx.Client, data: xr.Dataset, **query: Any) -> tuple[dict[str, Any], xr.Dataset]:
    """A job that ended well, and its result."""
    path = submitted(http, data, **query)
    status = awaited(http, path)
    assert status["status"] == "successful", status
    return status, files.opened(http.get(f"{path}/result").content)
