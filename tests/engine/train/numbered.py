"""Series in which every value says where it comes from."""

import numpy as np
from jaxtyping import Float32

from equifield import FieldType, MultiImage
from equifield.multi_image import Boundary
from equifield.train.data import ArraySeries
from equifield.train.data._image import host_image

FLOW = FieldType.parse("scalar + vector")
GROUND = FieldType.parse("pseudoscalar")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
GRID = (4, 6)


def numbered(trajectories: int = 3, steps: int = 7, constants: bool = False) -> ArraySeries:
    """States whose every value is 100 times the trajectory plus the time; constants that are minus the trajectory."""
    number = 100.0 * np.arange(trajectories)[:, None] + np.arange(steps)
    array = np.broadcast_to(number[..., None, None, None], (*number.shape, *GRID, 3))
    fixed = host_image(-values(np.arange(trajectories)), GROUND, TORUS) if constants else None
    return ArraySeries(array, FLOW, TORUS, fixed)


def values(numbers: np.ndarray) -> Float32[np.ndarray, "trajectories x y 1"]:
    return np.broadcast_to(numbers[:, None, None, None], (*numbers.shape, *GRID, 1)).astype(np.float32)


def pixel(image: MultiImage) -> np.ndarray:
    """The first feature of the first pixel."""
    return np.asarray(image.array)[..., 0, 0, 0]
