"""Where the files of the spool lie: a folder of this machine, or a bucket behind a URL."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..places import url_to_system


class Folder:
    """A folder, whose files are on the disk, and not only in memory, when a method returns."""

    def __init__(self, path: Path):
        self._path = path

    def make(self) -> None:
        """Makes the folder, unless it is there, and sees that files can be made in it."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = self._path / _half("now")
        probe.touch(exist_ok=False)
        probe.unlink()

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file that is there once the block has ended well."""
        half = self._path / _half(name)
        try:
            with half.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            half.rename(self._path / name)
        except BaseException:
            half.unlink(missing_ok=True)
            raise
        self._sync()

    @contextmanager
    def opened(self, name: str, start: int) -> Iterator[BinaryIO]:
        """A file, from a byte on."""
        with (self._path / name).open("rb") as file:
            file.seek(start)
            yield file

    def append(self, name: str, data: bytes | memoryview, at: int) -> None:
        """Writes at a place that is not behind the end; what followed it is cut off, also if the disk is full."""
        path = self._path / name
        is_new = not path.exists()
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
            if at > file.seek(0, os.SEEK_END):
                raise ValueError(f"A file of {file.tell()} bytes cannot go on at byte {at}.")
            file.truncate(at)
            file.seek(at)
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(at)
                raise
            os.fsync(file.fileno())
        if is_new:
            self._sync()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self._path / name).stat().st_size

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        (self._path / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Every file."""
        return os.listdir(self._path)

    def ages(self) -> dict[str, float]:
        """Seconds since each file was last written to, by the clock of the file system."""
        probe = self._path / _half("now")
        probe.touch(exist_ok=False)
        try:
            now, times = probe.stat().st_mtime, dict[str, float]()
            for entry in os.scandir(self._path):
                with suppress(FileNotFoundError):
                    times[entry.name] = now - entry.stat().st_mtime
        finally:
            probe.unlink()
        times.pop(probe.name, None)
        return times

    def _sync(self) -> None:
        """Makes names durable."""
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Bucket:
    """A bucket, or a folder of one. What is durable there, and when, is its keeper's promise.

    Raises:
        ImportError: The library for such URLs is not installed.
        ValueError: Nothing is known to understand them.
    """

    def __init__(self, url: str):
        self._system, root = url_to_system(url)
        self._root = root.rstrip("/")

    def make(self) -> None:
        """Nothing: a bucket is made by whoever keeps it, and folders in it make themselves."""

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file that is there once the block has ended well."""
        half = f"{self._root}/{_half(name)}"
        try:
            with self._system.open(half, "wb") as file:
                yield file
            self._system.mv(half, f"{self._root}/{name}")
        except BaseException:
            with suppress(FileNotFoundError):
                self._system.rm_file(half)
            raise

    @contextmanager
    def opened(self, name: str, start: int) -> Iterator[BinaryIO]:
        """A file, from a byte on."""
        with self._system.open(f"{self._root}/{name}", "rb") as file:
            file.seek(start)
            yield file

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        with suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{name}")

    def names(self) -> list[str]:
        """Every file."""
        return [path.rpartition("/")[2] for path in self._system.find(self._root)]

    def ages(self) -> dict[str, float]:
        """Seconds since each file was last written to, by the clock of the bucket."""
        probe = _half("now")
        self._system.pipe_file(f"{self._root}/{probe}", b"now")
        try:
            now, times = self._system.modified(f"{self._root}/{probe}"), dict[str, float]()
            for name in self.names():
                with suppress(FileNotFoundError):
                    times[name] = (now - self._system.modified(f"{self._root}/{name}")).total_seconds()
        finally:
            self.remove(probe)
        times.pop(probe, None)
        return times


def _half(name: str) -> str:
    """A name that nobody else uses for a file that is not whole yet."""
    return f".{name}.{secrets.token_hex(8)}"
