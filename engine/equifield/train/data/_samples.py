"""What a model is trained on."""

from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int


@runtime_checkable
class Samples(Protocol):
    """What a model is trained on: samples by number, read when they are asked for.

    `samples[chosen]` is a pytree of images in host memory whose first axis counts the chosen samples.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> Any: ...


class Arrays:
    """Samples held in memory: any pytree of arrays or images whose first axis counts the samples.

    **Raises** `ValueError` for data without samples, or whose parts have different numbers of them.
    """

    tree: Any

    def __init__(self, tree: Any):
        counts = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(tree)}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(
                f"Data needs samples along one first axis of all its arrays; their first axes are {counts}."
            )
        self.tree = jax.tree.map(np.asarray, tree)

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.tree)[0])

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> Any:
        return jax.tree.map(lambda leaf: leaf[chosen], self.tree)
