"""Checkpoints of a training, from which it goes on as if it had never stopped."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import orbax.checkpoint as ocp
from pydantic import JsonValue

from ._state import Epoch, Progress

ARRAYS, RECORD = "arrays", "record"
KEPT = 2
"""How many checkpoints stay: the newest, and the one before it."""


class OtherTraining(ValueError):
    """The checkpoints in a folder are those of another training."""


class Checkpoints:
    """A folder of checkpoints: weights, average, best model, optimiser, position in the data, losses and settings.

    Each appears whole or not at all, so a process may be killed at any moment. Randomness is derived from the key of
    the training and the number of the step, so the number is all there is to keep of it.
    """

    def __init__(self, folder: Path, *, about: Mapping[str, JsonValue], every: float = 60.0):
        """**Arguments:**

        - folder: where they are; made if it does not exist.
        - about: what makes this training this one, such as its configuration; a folder of another one is refused.
        - every: seconds between two checkpoints.
        """
        self._about = dict(about)
        self._every = every
        self._saved = time.monotonic()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def restore(self, start: Progress) -> Progress:
        """The newest progress in the folder, or the start where there is none.

        **Raises:** `OtherTraining` when it was written with other settings, or holds other arrays than `start`.
        """
        newest = self._manager.latest_step()
        if newest is None:
            return start
        record = self._record(newest)
        arrays, rest = eqx.partition((start.state, start.best), eqx.is_array)
        target = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in _named(arrays).items()}  # type: ignore[no-untyped-call]
        found = self._manager.restore(newest, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(target)))[ARRAYS]
        leaves = [jax.numpy.asarray(found[name]) for name in target]
        state, best = eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), rest)
        epochs = [Epoch(training, validation) for training, validation in record["epochs"]]
        losses = [(float(loss), int(samples)) for loss, samples in record["losses"]]
        return Progress(state, best, epochs, list(losses), record["since"])

    @property
    def epochs(self) -> int:
        """How many epochs are over at the newest, 0 where there is none. **Raises** `OtherTraining`."""
        newest = self._manager.latest_step()
        return 0 if newest is None else len(self._record(newest)["epochs"])

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._saved >= self._every

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint. It is on disk when this returns."""
        record = {
            "about": self._about,
            "epochs": [[epoch.training, epoch.validation] for epoch in progress.epochs],
            "losses": [[float(loss), samples] for loss, samples in progress.losses],
            "since": progress.since,
        }
        arrays = _named(eqx.filter((progress.state, progress.best), eqx.is_array))
        self._manager.save(
            (self._manager.latest_step() or 0) + 1,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave({name: np.asarray(leaf) for name, leaf in arrays.items()}),
                record=ocp.args.JsonSave(record),
            ),
        )
        self._saved = time.monotonic()

    def _record(self, number: int) -> dict[str, Any]:
        """All of a checkpoint but its arrays, when it was written with the same settings."""
        record: dict[str, Any] = self._manager.restore(number, args=ocp.args.Composite(record=ocp.args.JsonRestore()))[
            RECORD
        ]
        different = sorted(
            name
            for name in record["about"].keys() | self._about.keys()
            if record["about"].get(name) != self._about.get(name)
        )
        if different:
            raise OtherTraining(
                f"The checkpoints in {self._manager.directory} are those of a training with another "
                f"{', '.join(different)}. Train in another folder, or remove this one."
            )
        return record

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()


def _named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their number, in order."""
    return {f"{number:05d}": leaf for number, leaf in enumerate(jax.tree.leaves(tree))}
