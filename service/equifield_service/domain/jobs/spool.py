"""The spool: files of jobs, each whole or not there, in a folder or wherever fsspec reaches by a URL."""

import errno
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from ..errors import SpoolFailed, SpoolFull
from .job import Piece
from .shelves import Bucket, Folder

logger = logging.getLogger(__name__)

NAME = re.compile(r"(?P<job>[0-9a-f]{32})\.[a-z]+(-[0-9]+)?")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CHUNK = 2**20


def file_of(job: str, kind: str, number: int | None = None) -> str:
    """The name of a file: of which job, what it is, and its number if there are several. Nothing of it is a user's.

    A result that grows has the attempt for its number, so that who lost the lease writes beside the one that counts.
    """
    name = f"{job}.{kind}" if number is None else f"{job}.{kind}-{number}"
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a file of the spool: take an id from `new_id` and a word.")
    return name


class Spool:
    """Inputs, checkpoints and results. Every method blocks, for as long as the disk or the network takes.

    Every method raises `SpoolFull` if there is no room, after which what was there before is as it was, and
    `SpoolFailed` if a file is missing, not what was written, or out of reach.

    Args:
        url: A folder, or a URL that fsspec understands.

    Raises:
        ImportError: The library for such URLs is not installed.
        ValueError: Nothing is known to understand them.
    """

    def __init__(self, url: str):
        scheme, separator, path = url.rpartition("://")
        self._url = url
        self._place: Folder | Bucket
        self._place = Folder(Path(path)) if not separator or scheme == "file" else Bucket(url)

    def start(self) -> Self:
        """Makes the folder if need be, and sees that it can be written to. Safe to call twice."""
        try:
            self._place.make()
        except OSError as error:
            raise SpoolFailed(
                f"No jobs can be kept in {self._url}: {error.strerror}. Name a folder that can be written to, or a "
                f"URL, with EQUIFIELD_JOBS."
            ) from error
        return self

    @property
    def grows(self) -> bool:
        """Whether files can grow here."""
        return isinstance(self._place, Folder)

    def put(self, name: str, chunks: Iterable[bytes | memoryview]) -> Piece:
        """Writes a file under another name, to the disk itself, and then gives it its own."""
        digest, size = hashlib.sha256(), 0
        with ExitStack() as whole:
            with self._explaining(name):
                file = whole.enter_context(self._place.writing(_checked(name)))
            for chunk in chunks:  # whose errors are not the spool's
                with self._explaining(name):
                    file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            with self._explaining(name):
                whole.close()
        return Piece(name, size, digest.hexdigest())

    def load(self, piece: Piece) -> bytes:
        """A whole file, which is what was written."""
        return b"".join(self.read(piece))

    def read(self, piece: Piece) -> Iterator[bytes]:
        """A file in chunks; the last one comes only when the hash of all is right."""
        digest, held, size = hashlib.sha256(), b"", 0
        for chunk in self.read_range(piece.name, 0, piece.bytes):
            digest.update(chunk)
            size += len(chunk)
            if held:
                yield held
            held = chunk
        if size != piece.bytes or digest.hexdigest() != piece.sha256:
            raise SpoolFailed("A stored file is not what was written: the disk or somebody changed it.")
        yield held

    def read_range(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` to before `stop`, or to the end, in chunks. A part has no hash to be checked."""
        with self._explaining(name), self._place.opened(_checked(name), start) as file:
            while start < stop and (chunk := file.read(min(CHUNK, stop - start))):
                start += len(chunk)
                yield chunk

    def append(self, name: str, data: bytes | memoryview, at: int) -> int:
        """Writes to a file that grows, and to the disk itself, from byte `at`; what was behind that is dropped.

        Only in a folder: what lies behind a URL is written once and whole.

        Returns:
            The new size.
        """
        with self._explaining(name):
            self._growing().append(_checked(name), data, at)
        return at + len(data)

    def seal(self, name: str) -> Piece:
        """A file that has grown enough, as a piece."""
        digest, size = hashlib.sha256(), 0
        with self._explaining(name):
            stop = self._growing().size(_checked(name))
        for chunk in self.read_range(name, 0, stop):
            digest.update(chunk)
            size += len(chunk)
        return Piece(name, size, digest.hexdigest())

    def remove(self, names: Iterable[str]) -> None:
        """Removes files; those that are gone already are no error."""
        for name in names:
            with self._explaining(name):
                self._place.remove(name)

    def of(self, job: str) -> list[str]:
        """Every file of a job, halves that nobody finished included."""
        with self._explaining(job):
            return [name for name in self._place.names() if name.lstrip(".").startswith(f"{job}.")]

    def old(self, age_s: float) -> dict[str, str]:
        """Files that nobody wrote to for so long, by the clock of where they lie, and the job each is of."""
        with self._explaining("."):
            ages = self._place.ages()
        jobs = {name: NAME.match(name.removeprefix(".")) for name, age in ages.items() if age >= age_s}
        return {name: match["job"] for name, match in jobs.items() if match}

    def _growing(self) -> Folder:
        if not isinstance(self._place, Folder):
            raise ValueError("A file grows only in a folder: behind a URL it is written whole. Use `put`.")
        return self._place

    @contextmanager
    def _explaining(self, name: str) -> Iterator[None]:
        """Whatever goes wrong with a file: every library behind fsspec has errors of its own."""
        try:
            yield
        except (SpoolFull, SpoolFailed, ValueError, GeneratorExit):
            raise
        except Exception as error:
            logger.warning("The spool, at %s: %r", name, error)
            if isinstance(error, OSError) and error.errno in FULL:
                raise SpoolFull("There is no room for the files of this job. Nothing was kept; try later.") from error
            raise SpoolFailed("The files of this job are out of reach. Try again in a while.") from error


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r:.100} is no name of a file of the spool. Use `file_of`.")
    return name
