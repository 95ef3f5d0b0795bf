"""The door: which key a request has, what that opens, and how often."""

import math
import re

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import access
from ..access import Holder, KeyRing
from ..domain.errors import DomainError, KeyRefused, RateLimited, ScopeMissing
from .problems import problem_of

OPEN = frozenset({"/healthz/live", "/healthz/ready", "/openapi.json", "/docs", "/docs/oauth2-redirect"})
ADMIN = re.compile(r"/metrics/*|/v1/models/.+/versions/.+/(un)?load/*|/v2/repository/models/.+/(un)?load/*", re.DOTALL)


def scope_of(path: str) -> access.Scope | None:
    """What a key must open for a path; None for what is open to all. A path that does not exist is not open."""
    if path in OPEN:
        return None
    return "admin" if ADMIN.fullmatch(path) else "predict"


class Guard:
    """Lets nobody past without a key that opens what is asked. Covers whatever stands behind it, be it no route."""

    def __init__(self, app: ASGIApp, keys: KeyRing):
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on, or refuses it."""
        if scope["type"] != "http" or (needed := scope_of(scope["path"])) is None:
            await self._app(scope, receive, send)
            return
        try:
            holder = self._holder(scope)
            scope["state"]["key"] = holder.key.name
            if holder.budget is not None:
                send = _with_budget(holder, send)
            _charge(holder, needed)
        except DomainError as error:
            await problem_of(Request(scope), error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _holder(self, scope: Scope) -> Holder:
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, secret = sent[0].partition(b" ") if len(sent) == 1 else (b"", b"", b"")
        if kind.lower() != b"bearer" or not secret.strip():
            raise KeyRefused("This service wants a key. Send it once, as the header `Authorization: Bearer <key>`.")
        holder = self._keys.holder(secret.strip())
        if holder is None:
            raise KeyRefused("The key is not one of this service: it was mistyped, or taken back. Ask for a new one.")
        return holder


def _charge(holder: Holder, needed: access.Scope) -> None:
    """Takes one request from the budget of a key.

    Raises:
        ScopeMissing: the key does not open this.
        RateLimited: its budget is used up.
    """
    key = holder.key
    if needed not in key.scopes:
        held = "`, `".join(sorted(key.scopes))
        raise ScopeMissing(f"This call needs a key with the scope `{needed}`; '{key.name}' has `{held}`.")
    wait = 0.0 if holder.budget is None else holder.budget.take()
    if wait > 0:
        raise RateLimited(
            f"'{key.name}' may send {key.rate:g} requests per second, {key.at_once} at once. "
            f"There is room for the next one in {wait:.3g} s.",
            retry_after=math.ceil(wait),
        )


def _with_budget(holder: Holder, send: Send) -> Send:
    """Answers that say what is left to a key, as `draft-ietf-httpapi-ratelimit-headers` does."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start" and holder.budget is not None:
            policy = f'"key";q={holder.key.at_once};w={holder.budget.refill_seconds}'
            left = f'"key";r={holder.budget.left}'
            added = ((b"ratelimit-policy", policy.encode()), (b"ratelimit", left.encode()))
            message["headers"] = [*message.get("headers", ()), *added]
        await send(message)

    return tell
