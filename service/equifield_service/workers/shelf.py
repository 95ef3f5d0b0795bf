"""The models that a worker holds: as many as its device has room for, the most recently used ones."""

import logging
import threading
from collections import OrderedDict

from ..arenas import Message
from .loaded import LoadedModel

logger = logging.getLogger(__name__)


class Shelf:
    """Models by name and version. One that makes room for others is loaded again when it is wanted."""

    def __init__(self, device_bytes: int | None):
        self._device_bytes = device_bytes
        self._models: OrderedDict[tuple[str, str], LoadedModel] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: str, version: str) -> LoadedModel | None:
        """The model, which is thereby the most recently used one; None when it is not here."""
        with self._lock:
            model = self._models.get((name, version))
            if model is not None:
                self._models.move_to_end((name, version))
            return model

    def put(self, model: LoadedModel) -> None:
        """Keeps a model, as the most recently used one; the least recently used ones go until all fit."""
        key = (model.manifest.name, model.manifest.version)
        with self._lock:
            self._models[key] = model
            self._models.move_to_end(key)
            while self._device_bytes is not None and len(self._models) > 1 and self._bytes() > self._device_bytes:
                (name, version), _ = self._models.popitem(last=False)
                logger.info("%s/%s leaves the device to make room for %s/%s", name, version, *key)

    def drop(self, name: str, version: str) -> None:
        """Keeps a model no longer, if it is here."""
        with self._lock:
            self._models.pop((name, version), None)

    def describe(self) -> Message:
        """How many programs there are, and the memory of all models."""
        with self._lock:
            programs = sum(model.programs for model in self._models.values())
            return {"programs": programs, "device_bytes": self._bytes()}

    def _bytes(self) -> int:
        return sum(model.device_bytes for model in self._models.values())
