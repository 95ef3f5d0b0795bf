"""Where files of a store lie: in a folder, or wherever fsspec reaches by a URL."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem

LISTING_SECONDS = 30.0
FILE_SECONDS = 60.0  # for one file, and as much again for each further:
FILE_BYTES = 2**26

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
STAMPS = ("size", "mtime", "created", "updated", "LastModified", "ETag", "etag")  # what file systems tell of a file

Stamp = tuple[Any, ...]
"""What is different once a file has changed; its size comes first."""

T = TypeVar("T")


class Folder:
    """A folder. Models and versions may be links, what is inside a version may not."""

    def __init__(self, path: Path):
        self.path = path

    def files(self) -> dict[str, Stamp]:
        """Every file two folders deep or deeper, by its path from here."""
        versions = [version for model in _folders(self.path) for version in _folders(model)]
        paths = [Path(top, name) for version in versions for top, _, names in os.walk(version) for name in names]
        stamped = ((path.relative_to(self.path).as_posix(), _stamp(path)) for path in paths)
        return {path: stamp for path, stamp in stamped if stamp is not None}

    def check(self) -> None:
        """Whether it is a folder that may be listed."""
        os.listdir(self.path)


def _folders(path: Path) -> list[Path]:
    return [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".") and entry.is_dir()]


def _stamp(path: Path) -> Stamp | None:
    """None for a file that has gone meanwhile."""
    try:
        state = path.lstat()
    except FileNotFoundError:
        return None
    return state.st_size, state.st_mtime_ns


def url_to_system(url: str) -> tuple[Any, str]:
    """The file system that a URL names, without a memory of what it listed, and the path there.

    Raises:
        ImportError: The library for such URLs is not installed.
        ValueError: Nothing is known to understand them.
    """
    protocol = url.partition("://")[0]
    try:
        return fsspec.url_to_fs(url, use_listings_cache=False)  # type: ignore[no-any-return]
    except ImportError as error:
        way_out = f"pip install 'equifield[{EXTRAS[protocol]}]'" if protocol in EXTRAS else str(error)
        raise ImportError(f"what reads {protocol}:// is not installed: {way_out}") from error


class Remote:
    """A bucket, or a folder of one.

    Raises:
        ImportError: The library for such URLs is not installed.
        ValueError: Nothing is known to understand them.
    """

    def __init__(self, url: str):
        self._system, self._root = url_to_system(url)

    def files(self, below: str = "") -> dict[str, Stamp]:
        """Every file below a path, by its path from here; a folder that a tool stored as an empty object is none."""
        start = f"{self._root}/{below}".rstrip("/")
        listed = self._within(LISTING_SECONDS, self._system.find, start, detail=True)
        if not listed:
            self.check()  # what is not there would be listed as empty
        return {
            path.removeprefix(self._root).removeprefix("/"): (info["size"], *map(info.get, STAMPS))
            for path, info in listed.items()
            if info["type"] == "file" and not path.endswith("/")
        }

    def check(self) -> None:
        """Whether it is there and lets itself be listed."""
        self._within(LISTING_SECONDS, self._system.ls, self._root, detail=False)

    def copy(self, path: str, size: int, target: Path) -> None:
        """Downloads one file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        seconds = FILE_SECONDS * (1 + size // FILE_BYTES)
        self._within(seconds, self._system.get_file, f"{self._root}/{path}", str(target))

    def _within(self, seconds: float, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """A call that ends in time, on every file system that has a network."""
        limit = {"timeout": seconds} if isinstance(self._system, AsyncFileSystem) else {}
        return call(*arguments, **options, **limit)
