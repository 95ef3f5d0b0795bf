"""A part of a file, as RFC 9110 asks for it: one range of bytes, under a condition or not."""

import re
from dataclasses import dataclass

from fastapi import Request

RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """The bytes from `start` to before `stop` of `size`; `is_whole` where nobody asked for less."""

    start: int
    stop: int
    size: int
    is_whole: bool

    @property
    def content_range(self) -> str:
        """The header Content-Range."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def part_of(request: Request, size: int, etag: str) -> Part | None:
    """What of a file of `size` bytes is asked for; None where there is nothing of it.

    What is not one range of bytes, or is meant for another state of the file, asks for all of it.
    """
    whole = Part(0, size, size, True)
    asked = RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or request.headers.get("if-range", etag) != etag:
        return whole
    first, last = asked.groups()
    if first is None:
        if last is None:
            return whole
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), size if last is None else min(size, int(last) + 1)
        if last is not None and int(last) < int(first):
            return whole
    return Part(start, stop, size, False) if start < stop else None
