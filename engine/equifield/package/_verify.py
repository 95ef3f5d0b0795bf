"""Hashes: whether a package is, byte for byte, what was published."""

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ._errors import PackageCorrupt, PackageMissing, PackageTooNew
from .manifest import FORMAT, Manifest

MANIFEST = "manifest.json"
CERTIFICATE = "certificate.json"
CHECKPOINT = "checkpoint"
PROGRAMS = "programs"
CARD = "card.md"
LARGEST_MANIFEST = 2**20


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(content: dict[str, Any]) -> str:
    """The SHA-256 of a manifest without its own `digest` entry, independent of layout and order of keys.

    It covers the hash of every other file, so it identifies the whole package. It guards against accidents, not
    against someone who may write to the store: whoever can edit a manifest can compute its digest.
    """
    covered = {key: value for key, value in content.items() if key != "digest"}
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def files_of(package: Path) -> dict[str, Path]:
    """Every file of a package but its manifest, by its path inside the package."""
    found = (path for path in sorted(package.rglob("*")) if not stat.S_ISDIR(path.lstat().st_mode))
    names = {path.relative_to(package).as_posix(): path for path in found}
    return {name: path for name, path in names.items() if name != MANIFEST}


def verify_package(package: Path) -> Manifest:
    """The manifest of a package, after the hash of every file has been checked. Does not import JAX.

    **Raises:** `PackageMissing`, `PackageCorrupt` or `PackageTooNew`, each naming the file at fault.
    """
    manifest = _read_manifest(package)
    present = files_of(package)
    for name, expected in manifest.files.items():
        if name not in present:
            raise PackageMissing(package / name, "listed in the manifest, but not there. Copy the package again.")
        if not _is_regular(present[name]) or sha256_of_file(present[name]) != expected:
            raise PackageCorrupt(present[name], "its SHA-256 is not the manifest's. Copy the package again.")
    for name in present.keys() - manifest.files.keys():
        raise PackageCorrupt(present[name], "not listed in the manifest. Remove it, or copy the package again.")
    return manifest


def _read_manifest(package: Path) -> Manifest:
    path = package / MANIFEST
    try:
        if not _is_regular(path) or path.stat().st_size > LARGEST_MANIFEST:
            raise PackageCorrupt(path, f"a manifest is an ordinary file of at most {LARGEST_MANIFEST} bytes.")
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise PackageMissing(path, "a model package has this file; there is none here.") from None
    except (ValueError, RecursionError) as error:
        raise PackageCorrupt(path, f"not JSON: {error}.") from error
    written = content.get("format") if isinstance(content, dict) else None
    if type(written) is not int:
        raise PackageCorrupt(path, "has no format number, so it is not a manifest.")
    if written > FORMAT:
        raise PackageTooNew(path, f"format {written} is newer than {FORMAT}, the newest read here. Upgrade equifield.")
    if content.get("digest") != digest_of(content):
        raise PackageCorrupt(path, "its digest is not that of its content: it was damaged or edited.")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise PackageCorrupt(path, f"not a valid manifest: {error}") from error
    for name in (CARD, CERTIFICATE):
        if name not in manifest.files:
            raise PackageMissing(package / name, "every package has this file, but the manifest does not list it.")
    return manifest


def _is_regular(path: Path) -> bool:
    """Whether it is an ordinary file: no link that leads elsewhere, no pipe that never ends."""
    return stat.S_ISREG(path.lstat().st_mode)
