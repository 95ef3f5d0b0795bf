"""The result of a rollout while it grows: a NetCDF-3 file whose records are appended as they are computed."""

import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from .job import Job, Piece
from .spool import CHUNK, Spool

RECORDS = slice(4, 8)
"""Where a NetCDF-3 file says how many records it has."""


class Growing(Protocol):
    """A file that grows."""

    name: str
    size: int

    def append(self, data: bytes | memoryview) -> None:
        """Writes at the end. Where that fails, the file is as it was."""

    def seal(self, records: int) -> Piece:
        """The file as a piece of the spool, with so many records."""

    def close(self) -> None:
        """Lets go of it; what is sealed stays."""


class InFolder:
    """A file that grows in the spool itself, where it can be read meanwhile, and gone on with by another process."""

    def __init__(self, spool: Spool, name: str):
        self._spool, self.name, self.size = spool, name, 0

    def append(self, data: bytes | memoryview) -> None:
        """Writes at the end, and to the disk itself."""
        self.size = self._spool.append(self.name, data, self.size)

    def seal(self, records: int) -> Piece:
        """The file as a piece; written once more if it ended sooner than its head says."""
        said = b"".join(self._spool.read_range(self.name, 0, RECORDS.stop))[RECORDS]
        if said == _word(records):
            return self._spool.seal(self.name)
        return self._spool.put(self.name, with_records(self._spool.read_range(self.name, 0, self.size), records))

    def close(self) -> None:
        """Nothing: it stays for whoever goes on with it."""


class Elsewhere:
    """A file that grows on this machine, for a spool behind a URL, where a file is written once and whole."""

    def __init__(self, spool: Spool, name: str):
        self._spool, self.name, self.size = spool, name, 0
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until `close`

    def append(self, data: bytes | memoryview) -> None:
        """Writes at the end."""
        self._file.seek(self.size)
        self._file.write(data)
        self.size += len(data)

    def seal(self, records: int) -> Piece:
        """Puts the file into the spool."""
        self._file.truncate(self.size)
        self._file.seek(0)
        return self._spool.put(self.name, with_records(iter(lambda: self._file.read(CHUNK), b""), records))

    def close(self) -> None:
        """Gives its room back."""
        self._file.close()


def with_records(chunks: Iterable[bytes], number: int, start: int = 0) -> Iterator[bytes]:
    """The bytes of a NetCDF-3 file from `start` on, made to say that it has so many records."""
    word = _word(number)
    for chunk in chunks:
        first, last = max(start, RECORDS.start), min(start + len(chunk), RECORDS.stop)
        if first < last:
            changed = bytearray(chunk)
            changed[first - start : last - start] = word[first - RECORDS.start : last - RECORDS.start]
            chunk = bytes(changed)
        start += len(chunk)
        yield chunk


def _word(number: int) -> bytes:
    return struct.pack(">I", number)


@dataclass(frozen=True)
class Available:
    """What there is of a result.

    Attributes:
        name: Its file in the spool.
        size: So many bytes of it are whole.
        tag: Says which bytes these are: another text, other bytes.
        records: How many of them are whole, where the file still grows.
    """

    name: str
    size: int
    tag: str
    records: int | None = None

    @classmethod
    def of(cls, job: Job) -> "Available | None":
        """The whole result of a job, or as much as is whole so far; None where there is nothing yet."""
        if job.result is not None:
            return cls(job.result.name, job.result.bytes, job.result.sha256)
        made = job.checkpoint
        if made is None or not made.bytes:
            return None
        records = made.step // job.order.parameters["steps"]["every"]
        return cls(made.result, made.bytes, f"{job.id}-{made.step}", records)

    def read(self, spool: Spool, start: int, stop: int) -> Iterator[bytes]:
        """Some of its bytes, in chunks. Blocks, as the spool does."""
        chunks = spool.read_range(self.name, start, stop)
        return chunks if self.records is None else with_records(chunks, self.records, start)
