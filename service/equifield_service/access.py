"""Who may use the service: keys, what each may do, and how often."""

import hashlib
import hmac
import json
import math
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Scope = Literal["predict", "admin"]

ROUNDING = 1e-9  # of a budget that refilled just in time


class Key(BaseModel):
    """One line of the file of keys. The key itself is nowhere in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$", description="Who holds it; in logs, never secret.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the key, in hex.")
    scopes: Annotated[frozenset[Scope], Field(min_length=1)] = Field(description="What it opens.")
    rate: float | None = Field(default=None, gt=0, le=1e6, description="Requests per second, in the long run.")
    burst: int | None = Field(default=None, ge=1, description="Requests at once; by default those of one second.")

    @property
    def at_once(self) -> int:
        """How many requests a rested key may send at once."""
        return self.burst or max(1, math.ceil(self.rate or 1))

    @property
    def line(self) -> str:
        """The key as one line of the file."""
        return json.dumps(self.model_dump(exclude_none=True) | {"scopes": sorted(self.scopes)})


def new_key(name: str, scopes: Iterable[str], rate: float | None = None) -> tuple[str, Key]:
    """A key that nobody knows yet, and what the service stores of it.

    Raises:
        ValidationError: a name, scope or rate that cannot be.
    """
    secret = f"eqf_{secrets.token_urlsafe(32)}"
    described = {"name": name, "sha256": _digest(secret.encode()), "scopes": frozenset(scopes), "rate": rate}
    return secret, Key.model_validate(described)


def read_keys(path: Path) -> list[Key]:
    """The keys in a file of one JSON object per line.

    Raises:
        ValueError: it cannot be read, is empty, or a line of it is no key or has the name of another.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The file of keys '{path}' cannot be read: {error}.") from None
    keys: dict[str, Key] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            key = Key.model_validate_json(line)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))} {fault['msg']}" for fault in error.errors())
            raise ValueError(f"Line {number} of '{path}' is no key: {faults}. `new-key` writes one.") from None
        if key.name in keys:
            raise ValueError(f"Line {number} of '{path}' has the name of an earlier key, '{key.name}'. Choose another.")
        keys[key.name] = key
    if not keys:
        raise ValueError(f"The file of keys '{path}' has none, so nobody could come in. `new-key` writes one.")
    return list(keys.values())


class TokenBucket:
    """A budget that refills: `rate` requests per second in the long run, `size` at once."""

    def __init__(self, rate: float, size: int, clock: Callable[[], float]):
        self._rate, self._size, self._clock = rate, size, clock
        self._left, self._at = float(size), clock()

    def take(self) -> float:
        """Takes one request; 0, or the seconds until there is one to take."""
        now = self._clock()
        self._left = min(self._size, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1 - ROUNDING:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0

    @property
    def refill_seconds(self) -> int:
        """How long an empty budget takes to be full."""
        return math.ceil(self._size / self._rate)

    @property
    def left(self) -> int:
        """Requests that could be taken at once, when `take` was last called."""
        return int(self._left)


class Holder:
    """A key in use, with its budget."""

    def __init__(self, key: Key, clock: Callable[[], float]):
        self.key = key
        self.digest = key.sha256.encode()
        self.budget = None if key.rate is None else TokenBucket(key.rate, key.at_once, clock)


class KeyRing:
    """All keys of a service."""

    def __init__(self, keys: Iterable[Key], clock: Callable[[], float] = time.monotonic):
        self._holders = [Holder(key, clock) for key in keys]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The keys in a file.

        Raises:
            ValueError: as `read_keys`.
        """
        return cls(read_keys(path))

    def holder(self, secret: bytes) -> Holder | None:
        """Whose key this is. Takes as long for every key, be it the first, the last or none."""
        digest, found = _digest(secret).encode(), None
        for holder in self._holders:
            if hmac.compare_digest(holder.digest, digest):
                found = holder
        return found


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
