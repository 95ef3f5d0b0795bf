"""The result of a job, read by pieces: each is a request of its own, so that a broken download goes on where it was."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import xarray as xr

from ._calls import NETCDF, understanding
from ._classic import FIRST_PART
from ._exceptions import APIResponseError
from ._files import replacing
from ._flow import Ask, Flow, Policy, Reply, persist, work
from ._job_errors import ResultChanged
from ._lazy import PIECE, open_classic
from ._text import clean

Run = Callable[[Flow[bytes]], bytes]
"""Carries out a flow and waits for it, in any thread."""

ROOM_FOR_A_PROBLEM = 2**16
PARTIAL_CONTENT = 206


@dataclass(frozen=True)
class Piece:
    """A part of a result that has `total` bytes, and which version of it this is."""

    content: bytes = field(repr=False)
    total: int
    etag: str


@dataclass(frozen=True)
class Result:
    """The result at one path."""

    path: str
    policy: Policy

    def open(self, run: Run) -> Flow[xr.Dataset]:
        """The dataset, whose values `run` fetches when they are touched."""
        first = yield from self.piece(0, FIRST_PART)

        def fetch(start: int, stop: int) -> bytes:
            return run(self._exactly(start, stop, first.etag))

        def opened() -> xr.Dataset:
            with understanding(self.policy):
                return open_classic(fetch, first.total, first.content)

        return (yield from work(opened))

    def save(self, path: Path) -> Flow[None]:
        """The whole result as a file, which takes its name when it is whole."""
        with replacing(path) as file:
            piece = yield from self.piece(0, PIECE)
            have = yield from work(functools.partial(file.write, piece.content))
            while have < piece.total:
                piece = yield from self.piece(have, have + PIECE, piece.etag)
                have += yield from work(functools.partial(file.write, piece.content))

    def span(self, start: int, stop: int) -> Flow[bytes]:
        """The bytes from `start` up to `stop`, whatever became of the rest."""
        pieces: list[bytes] = []
        while start < stop:
            piece = yield from self.piece(start, min(start + PIECE, stop))
            pieces.append(piece.content)
            start += len(piece.content)
        return b"".join(pieces)

    def piece(self, start: int, stop: int, etag: str | None = None) -> Flow[Piece]:
        """The bytes from `start` up to `stop` or to the end, of the version `etag` if one is given.

        Raises:
            ResultChanged: The result is another one by now.
            APIResponseError: The answer is not the part that was asked for.
            EquifieldError: The call failed otherwise.
        """
        headers = {"Accept": NETCDF, "Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}"}
        headers |= {} if etag is None else {"If-Range": etag}
        reply = yield from persist(
            Ask("GET", self.path, headers=headers, most=max(stop - start, ROOM_FOR_A_PROBLEM)), self.policy
        )
        given = reply.headers.get("etag")
        if etag is not None and given != etag:
            raise ResultChanged(
                f"The result at {self.policy.server}{self.path} is not the one any more whose beginning was read "
                f"(ETag {clean(str(given), 80)} instead of {clean(etag, 80)}). Read it anew."
            )
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", reply.headers.get("content-range", ""))
        if reply.status != PARTIAL_CONTENT or given is None or found is None:
            self._refuse(reply, f"bytes {start} to {stop - 1}, with an ETag")
        first, last, total = map(int, found.groups())
        if (first, last + 1, len(reply.content)) != (start, min(stop, total), last + 1 - first) or last < first:
            self._refuse(reply, f"bytes {start} to {stop - 1}")
        return Piece(reply.content, total, given)

    def _exactly(self, start: int, stop: int, etag: str) -> Flow[bytes]:
        piece = yield from self.piece(start, stop, etag)
        if len(piece.content) < stop - start:
            raise APIResponseError(f"The result at {self.policy.server}{self.path} became shorter while it was read.")
        return piece.content

    def _refuse(self, reply: Reply, wanted: str) -> NoReturn:
        range_given: Any = reply.headers.get("content-range", "no range")
        raise APIResponseError(
            f"{self.policy.server}{self.path} was asked for {wanted}, but answered with HTTP {reply.status} and "
            f"{clean(range_given, 80)}. Does a proxy on the way keep range requests from the service?"
        )
