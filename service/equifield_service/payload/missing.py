"""What becomes of missing and infinite values: refused, or filled where the request says how."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from ..domain.errors import InfiniteValues, MissingValues, PayloadError
from .describing import clean
from .values import Missing

Mask = npt.NDArray[np.bool_]

FILLED: Mapping[Missing, str] = {"zero": "zero", "nearest": "the nearest value on the grid"}


def check_finite(name: str, dims: tuple[str, ...], values: npt.NDArray[np.float32], missing: Missing | None) -> None:
    """Refuses infinite values, and missing ones unless the request says what to put in their place.

    Raises:
        MissingValues, InfiniteValues: With count and first position.
    """
    if np.isfinite(values).all():
        return
    bad = np.isnan(values)
    if bad.any() and missing is None:
        advice = "Fill them, cut out a part without them, or let them be filled: missing=zero or missing=nearest."
        raise _error(MissingValues, "missing", name, dims, bad, advice)
    bad = np.isinf(values)
    if bad.any():
        advice = "They are infinite in the file, or too large for 32 bits. Correct them."
        raise _error(InfiniteValues, "infinite", name, dims, bad, advice)


def _error(
    kind: type[PayloadError], what: str, name: str, dims: tuple[str, ...], bad: Mask, advice: str
) -> PayloadError:
    first = {clean(dim): int(at) for dim, at in zip(dims, np.argwhere(bad)[0], strict=True)}
    place = ", ".join(f"{dim}={at}" for dim, at in first.items())
    count = int(bad.sum())
    return kind(
        f"Variable '{clean(name)}' has {count} {what} of {bad.size} values, the first at ({place}). {advice}",
        variable=clean(name),
        count=count,
        first=first,
    )


def fill(packed: npt.NDArray[np.float32], how: Missing) -> tuple[Mask | None, str]:
    """Fills what is missing in place.

    Args:
        packed: `(batch, *grid, features)`.
        how: With what.

    Returns:
        Where something was missing, `(batch, *grid)`, and a sentence about it for the outputs; None and an empty
        one where nothing was.

    Raises:
        MissingValues: A whole slice is missing, so that it has no nearest value.
    """
    missing = np.isnan(packed)
    mask = np.asarray(missing.any(axis=-1))
    if not mask.any():
        return None, ""
    if how == "zero":
        packed[missing] = 0.0
    else:
        for at in _slices(missing):
            packed[at] = _nearest(packed[at], missing[at])
    count, places = int(missing.sum()), int(mask.sum())
    return mask, (
        f"{count} missing values of the input were replaced by {FILLED[how]}; the prediction is missing at the same "
        f"{places} grid points"
    )


def _slices(missing: Mask) -> Iterator[tuple[int | slice, ...]]:
    for sample, feature in np.ndindex(missing.shape[0], missing.shape[-1]):
        at = (sample, *[slice(None)] * (missing.ndim - 2), feature)
        if missing[at].any():
            yield at


def _nearest(values: npt.NDArray[np.float32], missing: Mask) -> npt.NDArray[np.float32]:
    if missing.all():
        raise MissingValues(
            "A field has no value at all at one of its times or levels, so that none is nearest. Leave that time or "
            "level out, or use missing=zero."
        )
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)], np.float32)
