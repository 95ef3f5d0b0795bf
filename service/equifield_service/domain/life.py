"""The life of models: found in the store, verified, loaded, replaced by newer versions, taken away."""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from equifield.package import PackageCorrupt, PackageError, verify_package

from .errors import ModelUnavailable
from .registry import Entry, PackageRef, Registry, reason_of
from .store import PackageName, Store, StoreUnavailable

logger = logging.getLogger(__name__)

WITHDRAWN = "It was unloaded. Load it again to use it."


class Loader(Protocol):
    """Whoever holds the models; it tells the registry how each package fares."""

    def start(self, packages: Iterable[PackageRef]) -> None:
        """Begins with these packages."""

    async def load(self, package: PackageRef) -> None:
        """Loads, warms and checks one more, beside those that are served."""

    async def unload(self, package: PackageRef) -> None:
        """Serves one no longer."""


class ModelLife:
    """Keeps what is served in step with the store, and with what an operator asks for; one change at a time.

    A new version is loaded, warmed and checked beside the older ones, which serve until it is ready and stay for
    those who ask for them by number. One that fails is never served. One that was taken away serves the requests
    that it has, and then the next older one is the default again.
    """

    def __init__(self, store: Store, registry: Registry, loader: Loader, *, poll_seconds: float):
        self._store, self._registry, self._loader = store, registry, loader
        self._poll_seconds = poll_seconds
        self._changing = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads the whole store and begins to load what is in it.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        for entry in await asyncio.to_thread(read_store, self._store):
            self._registry.put(entry)
        self._registry.complete()
        self._loader.start([entry.package for entry in self._registry.entries() if entry.state == "loading"])
        self._watcher = asyncio.create_task(self._watch(), name="store")

    async def stop(self) -> None:
        """Follows the store no longer."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])

    async def load(self, model: str, version: str | None = None) -> None:
        """Loads a version of a model, by default the newest in the store, and waits until it is served.

        Raises:
            UnknownModel, UnknownVersion: the store has no such package.
            ModelUnavailable: it cannot be served, with the reason.
        """
        async with self._changing:
            await self._follow()
            entry = self._registry.find(model, version or self._newest(model))
            if entry.state != "ready":
                await self._admit(PackageName(entry.package.model, entry.package.version), entry.signature)
                entry = self._registry.find(model, entry.package.version)
        if entry.state != "ready":
            raise ModelUnavailable(f"Model {entry.package} is not served: {entry.reason}")

    async def unload(self, model: str, version: str | None = None) -> None:
        """Takes a version of a model, by default all of them, from the device when its requests are answered.

        Raises:
            UnknownModel, UnknownVersion: there is no such model.
        """
        async with self._changing:
            numbers = self._registry.versions(model) if version is None else [version]
            for entry in [self._registry.find(model, number) for number in numbers] or [self._registry.find(model)]:
                await self._withdraw(entry)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                async with self._changing:
                    await self._follow()
            except Exception:  # whatever it is, the models that are there must go on
                logger.exception("the store cannot be followed; the next try comes in %g s", self._poll_seconds)

    async def _follow(self) -> None:
        """Does what the store's listing says: what is new is loaded, what is gone is taken away."""
        try:
            listing = await asyncio.to_thread(self._store.packages)
        except StoreUnavailable as error:
            logger.warning("the store does not answer, so nothing is loaded or unloaded: %s", error)
            return
        known = {PackageName(entry.package.model, entry.package.version): entry for entry in self._registry.entries()}
        for name, signature in listing.items():
            if name not in known or known[name].signature != signature:
                await self._admit(name, signature)
        for name, entry in known.items():
            if name not in listing:
                await self._withdraw(entry)
                self._registry.remove(entry.package)

    async def _admit(self, name: PackageName, signature: str) -> None:
        entry = await asyncio.to_thread(_read, self._store, name, signature)
        self._registry.put(entry)
        if entry.state == "loading":
            await self._loader.load(entry.package)
        else:
            await self._loader.unload(entry.package)

    async def _withdraw(self, entry: Entry) -> None:
        if entry.state == "ready":
            self._registry.unloaded(entry.package, WITHDRAWN)
            await self._registry.unused(entry.package)
            await self._loader.unload(entry.package)

    def _newest(self, model: str) -> str | None:
        versions = self._registry.versions(model)
        return versions[-1] if versions else None


def read_store(store: Store) -> list[Entry]:
    """Every package of a store: verified and to be loaded, or failed.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    return [_read(store, name, signature) for name, signature in store.packages().items()]


def _read(store: Store, name: PackageName, signature: str) -> Entry:
    """A package of the store, verified; one that cannot be served is kept as failed, with the reason."""
    nowhere = PackageRef(name.model, name.version, Path())
    try:
        path = store.fetch(name)
    except (PackageCorrupt, StoreUnavailable) as error:
        logger.error("%s cannot be fetched: %s", name, error)
        return Entry(nowhere, None, "failed", "It cannot be fetched from the store.", signature=signature)
    package = PackageRef(name.model, name.version, path)
    try:
        manifest = verify_package(path)
    except (PackageError, OSError) as error:
        logger.error("%s cannot be served: %s", package, error)
        return Entry(package, None, "failed", reason_of(error, path), signature=signature)
    if (manifest.name, manifest.version) != (name.model, name.version):
        reason = (
            f"The manifest says {manifest.name}/{manifest.version}, but the folder {name}. "
            f"Move the package to where it belongs."
        )
        return Entry(package, manifest, "failed", reason, signature=signature)
    return Entry(package, manifest, "loading", signature=signature)
