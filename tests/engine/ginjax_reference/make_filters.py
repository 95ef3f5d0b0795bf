"""Writes the invariant filters of ginjax 0.1.8: `python make_filters.py FOLDER`, where ginjax is installed.

`filters.npz` holds one array `(filters, *sizes, *tensor)` for each group, side M, tensor order k and parity p, under
the name `GROUP M k p`. Takes an hour of one core.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ginjax import geometric  # type: ignore[import-not-found]

CASES = {1: ((2, 3, 5), 3), 2: ((2, 3, 5), 4), 3: ((2, 3), 3)}
"""For each dimension the sides, and the largest order."""


def groups(dimension: int) -> dict[str, list[np.ndarray]]:
    """The elements of each group, as ginjax takes them."""
    everything = geometric.make_all_operators(dimension)
    listed = {f"B{dimension}": everything}
    if dimension == 2:
        listed["C4"] = [matrix for matrix in everything if round(np.linalg.det(matrix)) == 1]
        listed["flips2"] = geometric.make_C2_group(dimension)
    return listed


def filters() -> Iterator[tuple[str, np.ndarray]]:
    """Every case, named."""
    for dimension, (sides, most) in CASES.items():
        for group, operators in groups(dimension).items():
            for side, order, parity in ((s, k, p) for s in sides for k in range(most + 1) for p in (0, 1)):
                found = geometric.get_unique_invariant_filters(side, order, parity, dimension, operators)
                shape = (len(found), *(side,) * dimension, *(dimension,) * order)
                data = [np.asarray(image.data) for image in found]
                yield f"{group} {side} {order} {parity}", np.array(data, np.float32).reshape(shape)


if __name__ == "__main__":
    arrays: dict[str, Any] = dict(filters())
    np.savez_compressed(Path(sys.argv[1]) / "filters.npz", **arrays)
