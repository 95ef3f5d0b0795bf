"""Files that were read when they were accepted, and are not read again if their job is done here and soon."""

from dataclasses import replace

from .job import Job
from .opening import Opened

ROOM = 64 * 2**20


class Tray:
    """The newest files, as many as have `ROOM` bytes. Losing one costs no more than reading it from the spool."""

    def __init__(self) -> None:
        self._files: dict[str, Opened] = {}
        self._bytes = 0

    def put(self, id: str, opened: Opened) -> None:
        """Keeps the file of a job that is about to be accepted; the oldest ones make room."""
        self._files[id] = opened
        self._bytes += opened.nbytes
        while self._bytes > ROOM:
            self.drop(next(iter(self._files)))

    def take(self, job: Job) -> Opened | None:
        """The file of a job, which goes with it; None if it is not here."""
        opened = self.drop(job.id)
        return None if opened is None else replace(opened, created=job.created)

    def drop(self, id: str) -> Opened | None:
        """Keeps a file no longer."""
        opened = self._files.pop(id, None)
        self._bytes -= 0 if opened is None else opened.nbytes
        return opened
