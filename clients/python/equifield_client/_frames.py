"""The steps of a job, one by one, while its result grows."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import xarray as xr

from ._calls import understanding
from ._classic import Header, Prefix, read_header, records_in, some_records
from ._exceptions import APIStatusError, JobUnsuccessful, ResultNotReady
from ._flow import Flow, Give, Stream, work
from ._job_status import JobStatus
from ._lazy import PIECE, open_classic
from ._result import Result
from ._waiting import Watch

HEAD = 12
"""Bytes at the beginning of a file that say how many records it has."""
RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True)
class Film:
    """What all steps share: the file's header, and everything in the file that is before the steps."""

    header: Header
    fixed: bytes = field(repr=False)

    def place(self, record: int) -> int:
        """Where a record begins."""
        return self.header.begin + record * self.header.stride

    @property
    def batch(self) -> int:
        """How many records are fetched at once, where so many are there."""
        return max(1, PIECE // max(1, self.header.stride))

    def steps(self, head: bytes) -> int:
        """How many steps the file has by its first bytes; a file without records is one."""
        return records_in(self.header, head) if self.header.stride else 1

    def cut(self, content: bytes, count: int) -> list[xr.Dataset]:
        """The steps in the bytes of `count` records."""
        file = some_records(self.header, self.fixed, content, count)
        dataset = open_classic(lambda start, stop: file[start:stop], len(file)).load()
        if not self.header.stride:
            return [dataset]
        return [dataset.isel({self.header.unlimited: record}) for record in range(count)]


def frames(watch: Watch, result: Result, check: Callable[[JobStatus], None]) -> Stream[xr.Dataset]:
    """Each step in a dataset of its own, as soon as it is there, until the job has ended; `check` judges how."""
    film: Film | None = None
    done = 0
    while True:
        status = yield from watch.next()
        head = yield from _head(result, status)
        if head and done == 0:  # without a step the header may still change
            film = yield from _film(result)
        while head and film and done < film.steps(head):
            count = min(film.batch, film.steps(head) - done)
            content = yield from _records(result, film, done, count, status)
            if content is None:
                break
            for frame in (yield from work(functools.partial(_cut, result, film, content, count))):
                yield Give(frame)
            done += count
        if status.ended:
            check(status)
            return


def _head(result: Result, status: JobStatus) -> Flow[bytes]:
    """The first bytes of the result; none if there is no result yet."""
    try:
        return (yield from result.piece(0, HEAD)).content
    except ResultNotReady:
        if status.status == "successful":
            raise
    except JobUnsuccessful:
        pass  # which the status says, or will say when it is next asked
    return b""


def _film(result: Result) -> Flow[Film]:
    first = yield from result.piece(0, PIECE)
    with understanding(result.policy):
        header = read_header(Prefix(_further, first.total, first.content))
    rest = yield from result.span(len(first.content), header.begin)
    return Film(header, (first.content + rest)[: header.begin])


def _further(start: int, stop: int) -> bytes:
    raise ValueError(f"the NetCDF header is longer than {PIECE} bytes")


def _records(result: Result, film: Film, done: int, count: int, status: JobStatus) -> Flow[bytes | None]:
    """The bytes of records; None if a service that died has lost them, and computes them again."""
    try:
        return (yield from result.span(film.place(done), film.place(done + count)))
    except APIStatusError as error:
        if error.status_code != RANGE_NOT_SATISFIABLE or status.ended:
            raise
        return None


def _cut(result: Result, film: Film, content: bytes, count: int) -> list[xr.Dataset]:
    with understanding(result.policy):
        return film.cut(content, count)
