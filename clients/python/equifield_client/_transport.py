"""What both drivers share: checked arguments, and the way from an effect to httpx and back."""

import contextlib
import importlib.metadata
import math
import time
from collections.abc import Mapping

import httpx

from ._flow import Policy, Reply, Retry, Send

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 120.0
CONNECT_TIMEOUT = 5.0  # a host that does not even accept a connection is given up sooner
SERVICE_SHARE = 0.95  # of the time left is given to the service, so that its explanation arrives before ours


def checked_url(base_url: str) -> httpx.URL:
    """The service's address.

    Raises:
        ValueError: It is not an http(s) address.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:  # its message may quote a password
        raise ValueError(f"`base_url` is not a valid address, such as {DEFAULT_URL}.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(
            f"`base_url` must start with http:// or https:// and name a host, but is "
            f"{without_secrets(url)!r}. The service on this machine is {DEFAULT_URL}."
        )
    return url


def without_secrets(url: httpx.URL) -> str:
    """The address without user name, password or query."""
    return str(url.copy_with(userinfo=b"", query=None)).rstrip("/")


def credentials(url: httpx.URL) -> httpx.BasicAuth | None:
    """The user name and password of an address, taken out of it: httpx logs addresses."""
    return httpx.BasicAuth(url.username, url.password) if url.userinfo else None


def policy_for(url: httpx.URL, timeout: float, retry: Retry) -> Policy:
    """The policy of a client.

    Raises:
        ValueError: The timeout is not a positive finite number.
    """
    if not 0 < timeout < math.inf:
        raise ValueError(f"`timeout={timeout}` must be a positive, finite number of seconds.")
    return Policy(without_secrets(url), float(timeout), retry)


def default_headers(key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers of every request: who asks, with which key, and what the user adds."""
    authorization = {} if key is None else {"Authorization": f"Bearer {key}"}
    return {"User-Agent": f"equifield-client/{version()}", **authorization, **(headers or {})}


def version() -> str:
    """The version of the installed distribution."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("equifield")
    return "unknown"  # run from a source tree


def build(http: httpx.Client | httpx.AsyncClient, send: Send) -> httpx.Request:
    """The httpx request of an effect, limited to its time on both sides."""
    headers = dict(send.ask.headers)
    if send.ask.method == "POST":
        headers["Equifield-Timeout-Ms"] = str(max(1, int(send.timeout * 1000 * SERVICE_SHARE)))
    return http.build_request(
        send.ask.method,
        send.ask.path,
        params=dict(send.ask.params) or None,
        headers=headers,
        content=send.ask.content,
        timeout=httpx.Timeout(send.timeout, connect=min(send.timeout, CONNECT_TIMEOUT)),
    )


class Answer:
    """An answer while it arrives: collects parts, and stops a peer that dribbles too long or sends too much."""

    def __init__(self, send: Send) -> None:
        self._timeout, self._most = send.timeout, send.ask.most
        self._deadline = time.monotonic() + send.timeout
        self._parts: list[bytes] = []
        self._length = 0

    @property
    def enough(self) -> bool:
        """Whether as much has arrived as is wanted."""
        return self._most is not None and self._length > self._most

    def add(self, part: bytes) -> None:
        """Takes the next part of the body."""
        if time.monotonic() > self._deadline:
            raise httpx.ReadTimeout(f"the answer was still arriving after {self._timeout:g} s")
        self._parts.append(part)
        self._length += len(part)

    def reply(self, response: httpx.Response) -> Reply:
        """The answer, as far as it was wanted."""
        return Reply(response.status_code, response.headers, b"".join(self._parts))
