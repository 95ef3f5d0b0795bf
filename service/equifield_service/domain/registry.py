"""Which models there are, in which state, and why."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from equifield.package import PackageError
from equifield.package.manifest import Manifest

from .errors import ModelUnavailable, UnknownModel, UnknownVersion

State = Literal["loading", "ready", "failed", "unloaded"]
Health = Literal["starting", "ready", "failed", "empty"]


@dataclass(frozen=True)
class PackageRef:
    """A package of the store, and the folder where it can be read."""

    model: str
    version: str
    path: Path

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


@dataclass
class Entry:
    """One version of a model; without a manifest when its package cannot be read.

    Attributes:
        signature: What the store said of its files when it was read.
    """

    package: PackageRef
    manifest: Manifest | None
    state: State
    reason: str | None = None
    certificate: dict[str, Any] | None = None
    signature: str = ""


class Registry:
    """The models that are known. Versions are numbers; the newest one that is ready is the default."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Entry]] = {}
        self._complete = False
        self._changed = asyncio.Event()
        self._users: Counter[PackageRef] = Counter()
        self._left = asyncio.Event()

    def put(self, entry: Entry) -> None:
        """Adds a version of a model, or replaces it."""
        versions = self._entries.setdefault(entry.package.model, {})
        versions[entry.package.version] = entry
        self._entries[entry.package.model] = dict(sorted(versions.items(), key=lambda item: int(item[0])))
        self._changed.set()

    def remove(self, package: PackageRef) -> None:
        """Forgets a version of a model."""
        versions = self._entries[package.model]
        del versions[package.version]
        if not versions:
            del self._entries[package.model]
        self._changed.set()

    def complete(self) -> None:
        """Everything that the store holds at the start has been put here."""
        self._complete = True
        self._changed.set()

    def loaded(self, package: PackageRef, reply: Mapping[str, Any]) -> None:
        """The worker serves this package now."""
        self._note(package, "ready", None)
        self._entries[package.model][package.version].certificate = reply["certificate"]

    def failed(self, package: PackageRef, reason: str) -> None:
        """This package cannot be served."""
        self._note(package, "failed", reason)

    def unloaded(self, package: PackageRef, reason: str) -> None:
        """This package is not served, because somebody wanted so."""
        self._note(package, "unloaded", reason)

    def _note(self, package: PackageRef, state: State, reason: str | None) -> None:
        entry = self._entries[package.model][package.version]
        entry.state, entry.reason = state, reason
        self._changed.set()

    @contextmanager
    def using(self, entry: Entry) -> Iterator[None]:
        """While this context lasts, the version is not taken from the device, whatever becomes of it."""
        self._users[entry.package] += 1
        try:
            yield
        finally:
            self._users[entry.package] -= 1
            self._left.set()

    async def unused(self, package: PackageRef) -> None:
        """Waits until no request uses a version any more; new ones must have been kept from it before."""
        while self._users[package]:
            self._left.clear()
            await self._left.wait()

    @property
    def health(self) -> Health:
        """Ready when there are models and each of them has a version that is; those that were unloaded do not count."""
        if not self._complete:
            return "starting"
        states = [{entry.state for entry in versions.values()} for versions in self._entries.values()]
        lacking = [found for found in states if "ready" not in found and found != {"unloaded"}]
        if any("loading" in found for found in lacking):
            return "starting"
        if lacking:
            return "failed"
        return "ready" if states else "empty"

    async def settled(self) -> Health:
        """Waits until every model has a version that is ready, or none left to wait for."""
        while self.health == "starting":
            self._changed.clear()
            await self._changed.wait()
        return self.health

    def entries(self) -> list[Entry]:
        """Every version of every model, by name and number."""
        return [entry for versions in self._entries.values() for entry in versions.values()]

    def versions(self, name: str) -> list[str]:
        """The versions of a model, oldest first."""
        return list(self._entries.get(name, {}))

    def find(self, name: str, version: str | None = None) -> Entry:
        """A version of a model in whatever state; by default the newest that is ready, or else the newest.

        Raises:
            UnknownModel, UnknownVersion: with what there is instead.
        """
        versions = self._entries.get(name)
        if versions is None:
            known = sorted(self._entries)
            raise UnknownModel(f"There is no model '{name[:80]}'. Known: {', '.join(known) or 'none'}.", known=known)
        if version is None:
            newest_first = list(reversed(versions.values()))
            return next((entry for entry in newest_first if entry.state == "ready"), newest_first[0])
        if version not in versions:
            raise UnknownVersion(
                f"Model '{name}' has no version '{version[:80]}'. Known: {', '.join(versions)}.",
                known=list(versions),
            )
        return versions[version]

    def serving(self, name: str, version: str | None = None) -> tuple[Manifest, Entry]:
        """A version that is ready to predict.

        Raises:
            UnknownModel, UnknownVersion: there is no such model.
            ModelUnavailable: it is loading, or failed; with the reason.
        """
        entry = self.find(name, version)
        if entry.state == "loading":
            raise ModelUnavailable(f"Model {entry.package} is loading. Try again soon.", retry_after=2)
        if entry.state != "ready" or entry.manifest is None:
            raise ModelUnavailable(f"Model {entry.package} is not served: {entry.reason}")
        return entry.manifest, entry


def reason_of(error: PackageError | OSError, package: Path) -> str:
    """Why a package cannot be read, in words that do not tell clients where the store lies."""
    if isinstance(error, OSError):
        return f"The package cannot be read: {error.strerror}."
    path = error.path.relative_to(package) if error.path.is_relative_to(package) else Path(error.path.name)
    return f"{path.as_posix()}: {error.reason}"
