"""Simulated trajectories, computed in chunks and kept on disk."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

CHUNK = 8
"""The number of trajectories computed at once."""

One = Callable[[PRNGKeyArray], dict[str, Float[Array, "..."]]]
"""From randomness to the named arrays of one trajectory."""


def simulated(
    problem: Any, one: One, trajectories: int, seed: int, cache: Path | None
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """The arrays of many trajectories, memory-mapped, from the cache or computed into it.

    Each trajectory has randomness of its own, so the first ones are the same however many there are. They lie in a
    folder named by what they depend on: the parameters of the problem, their number, the seed, the versions of what
    computes them and the kind of device. It appears whole or not at all.

    **Raises** `ValueError` for less than one trajectory.
    """
    if trajectories < 1:
        raise ValueError(f"`simulate` needs at least one trajectory, not {trajectories}.")
    recipe = _recipe(problem, trajectories, seed)
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    folder = (_default() if cache is None else cache) / f"{recipe['problem']}-{digest[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _compute(one, trajectories, seed, recipe, folder)
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


def _recipe(problem: Any, trajectories: int, seed: int) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in ("equifield", "exponax", "jax", "jaxlib")}
    return {
        "problem": type(problem).__name__,
        "parameters": dataclasses.asdict(problem),
        "trajectories": trajectories,
        "seed": seed,
        "versions": versions,
        "device": jax.default_backend(),
    }


def _default() -> Path:
    """The user's folder for what can be computed again (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "equifield"


def _compute(one: One, trajectories: int, seed: int, recipe: dict[str, Any], folder: Path) -> None:
    """Computes into a folder of another name, and gives it its own at the end."""
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(one, trajectories, seed, making)
        (making / "recipe.json").write_text(json.dumps(recipe, indent=2))
        try:
            making.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _write(one: One, trajectories: int, seed: int, folder: Path) -> None:
    @jax.jit
    def chunk(numbers: Int[Array, " chunk"]) -> dict[str, Float[Array, "chunk ..."]]:
        return jax.vmap(lambda number: one(jr.fold_in(jr.key(seed), number)))(numbers)

    size = min(CHUNK, trajectories)
    files: dict[str, np.memmap[Any, np.dtype[np.float32]]] = {}
    for start in range(0, trajectories, size):
        made = chunk(start + jnp.arange(size))  # the last ones may be too many: one program serves all
        for name, array in made.items():
            if start == 0:
                shape = (trajectories, *array.shape[1:])
                files[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.dtype(np.float32), shape)
            files[name][start : start + size] = np.asarray(array)[: trajectories - start]
    for file in files.values():
        file.flush()
