"""The store of model packages: a folder, or a URL that fsspec understands, such as `s3://bucket/models`.

How a remote store is reached is told to its library, not to this service. For S3: credentials, region and endpoint
as the tools of AWS take them (`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL_S3`), everything else that
`s3fs.S3FileSystem` takes as `FSSPEC_S3_<ARGUMENT>` (`FSSPEC_S3_ANON=true` for a public bucket).
"""

import errno
import hashlib
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from equifield.package import PackageCorrupt

from .places import Folder, Remote, Stamp

logger = logging.getLogger(__name__)

MODEL = re.compile(r"[a-z0-9][a-z0-9-]*")
VERSION = re.compile(r"[1-9][0-9]*")


class StoreUnavailable(Exception):
    """The store cannot be read. The message names it, so it is for operators and not for clients."""


@dataclass(frozen=True)
class PackageName:
    """A package of the store, wherever that is."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


class Store:
    """The packages of a store. Every method blocks; on a remote one, for as long as the network takes.

    Args:
        url: A folder, or a URL.
        cache: Folder for copies of remote packages, of this process alone: what is outdated there is removed.

    Raises:
        StoreUnavailable: Nothing that is installed understands the URL.
    """

    def __init__(self, url: str, cache: Path):
        self._url, self._cache = url, cache
        self._strangers: set[str] = set()
        scheme, separator, path = url.rpartition("://")
        self._place: Folder | Remote
        with self._explaining():
            self._place = Folder(Path(path)) if not separator or scheme == "file" else Remote(url)

    def packages(self) -> dict[PackageName, str]:
        """Every package, with a signature that changes when any file of it does. One listing.

        Raises:
            StoreUnavailable: The store is gone or does not answer, which is not the same as being empty.
        """
        with self._explaining():
            return {name: _signature(files) for name, files in self._grouped(self._place.files()).items()}

    def fetch(self, name: PackageName) -> Path:
        """A folder with the package as it is now: its own if the store is one, or else a whole copy.

        It is not verified here: whoever loads a package does that.

        Raises:
            StoreUnavailable: The store does not answer, the package is gone or changing, or the disk is full.
            PackageCorrupt: The name of a file leads out of the package.
        """
        if isinstance(self._place, Folder):
            return self._place.path / name.model / name.version
        with self._explaining():
            return self._fetch(self._place, name)

    def check(self) -> None:
        """Finds out whether the store is there and lets itself be read.

        Raises:
            StoreUnavailable: It is not, with what is wrong and the way out.
        """
        with self._explaining():
            self._place.check()

    def _grouped(self, files: dict[str, Stamp]) -> dict[PackageName, dict[str, Stamp]]:
        """The files of each package, by their path in it. Those of a remote store are not to be trusted."""
        found: dict[PackageName, dict[str, Stamp]] = {}
        for path, stamp in files.items():
            model, version, file = (*path.split("/", 2), "", "")[:3]
            if not file or model.startswith(".") or version.startswith("."):
                continue
            if MODEL.fullmatch(model) and VERSION.fullmatch(version):
                found.setdefault(PackageName(model, version), {})[file] = stamp
            else:
                self._warn_of(f"{model}/{version}")
        return found

    def _warn_of(self, stranger: str) -> None:
        if stranger not in self._strangers:
            self._strangers.add(stranger)
            logger.warning(
                "%.200r in the store is no package: a model is named in small letters, digits and hyphens, its "
                "version is a number. Rename it, or hide it behind a dot.",
                stranger,
            )

    def _fetch(self, remote: Remote, name: PackageName) -> Path:
        copies = self._cache / name.model / name.version
        files = self._grouped(remote.files(f"{name}/")).get(name)
        if files is None:
            raise StoreUnavailable(f"The package {name} is not in the store {self._url} any more.")
        target = copies / _signature(files)
        if not _is_whole(target, files):
            copies.mkdir(parents=True, exist_ok=True)
            self._copy(remote, name, files, target)
        for other in copies.iterdir():
            if other != target:
                shutil.rmtree(other)
        return target

    def _copy(self, remote: Remote, name: PackageName, files: dict[str, Stamp], target: Path) -> None:
        """Copies a package under another name first, so that half of one never has its own."""
        with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as staging:
            half = Path(staging, "package")
            for file, (size, *_) in files.items():
                if not set(file.split("/")).isdisjoint({"", ".", ".."}) or "\0" in file:
                    raise PackageCorrupt(target, f"the name {file[:200]!r} leads out of it. Remove that file.")
                remote.copy(f"{name}/{file}", size, half / PurePosixPath(file))
            if self._grouped(remote.files(f"{name}/")).get(name) != files:
                raise StoreUnavailable(f"The package {name} in {self._url} changed while it was copied. Try again.")
            if target.exists():
                shutil.rmtree(target)
            half.rename(target)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Whatever goes wrong between here and a place: every library has errors of its own."""
        try:
            yield
        except (PackageCorrupt, StoreUnavailable):
            raise
        except Exception as error:
            reason = str(error) or ("it did not answer in time" if isinstance(error, TimeoutError) else repr(error))
            raise StoreUnavailable(f"The store {self._url} cannot be read: {reason}. {_way_out(error)}") from error


def _signature(files: dict[str, Stamp]) -> str:
    return hashlib.sha256(repr(sorted(files.items(), key=lambda item: item[0])).encode()).hexdigest()[:32]


def _way_out(error: Exception) -> str:
    match error:
        case ImportError():
            return "Then start again."
        case FileNotFoundError() | NotADirectoryError():
            return "Name a folder or bucket that is there with --store or EQUIFIELD_STORE."
        case PermissionError():
            return "Give the service credentials that may list and read it."
        case OSError(errno=errno.ENOSPC):
            return "Free some space where copies of packages are kept."
        case _:
            return "Check its address, its credentials and the network."


def _is_whole(copy: Path, files: dict[str, Stamp]) -> bool:
    """Whether a copy has every file in its size: a system that lost its power may have kept the names alone."""
    sizes = {path.relative_to(copy).as_posix(): path.lstat().st_size for path in copy.rglob("*") if path.is_file()}
    return sizes == {file: stamp[0] for file, stamp in files.items()}
