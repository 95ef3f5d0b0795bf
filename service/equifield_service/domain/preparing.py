"""From a file to what is computed on it: the way that an answer and a job have in common."""

from dataclasses import dataclass, replace

from equifield.package.manifest import Manifest

from ..metrics import Metrics
from ..payload import Frame, PayloadPool
from ..scheduling import Array, BatchKey, Precision
from .asking import Ask, decode
from .grids import boundary_of
from .rollouts import Steps, check_autoregressive


@dataclass(frozen=True)
class Prepared:
    """A file that fits its model.

    Attributes:
        frame: What an answer takes over of it.
        array: Its fields, `(batch, *grid, features)`.
        key: What is computed on it; of a rollout, without its steps.
    """

    frame: Frame
    array: Array
    key: BatchKey


async def prepare(
    pool: PayloadPool,
    metrics: Metrics,
    body: bytes,
    manifest: Manifest,
    ask: Ask,
    *,
    precision: Precision,
    symmetrize: bool,
    steps: Steps | None,
) -> Prepared:
    """Reads a file for a model, once the rest of what is asked is known to be possible.

    Raises:
        DomainError: the file, or what is asked of the model, is refused.
    """
    boundary_of(manifest.grid, ask.boundary)  # before the body is worth any work
    if steps is not None:
        check_autoregressive(manifest)
        ask = replace(ask, options=replace(ask.options, rollout=True))
    decoded = await decode(pool, metrics, body, manifest, ask)
    grid, boundary = decoded.array.shape[1:-1], boundary_of(manifest.grid, ask.boundary, decoded.frame.periodic)
    key = BatchKey(manifest.name, manifest.version, grid, boundary, precision, symmetrize)
    return Prepared(decoded.frame, decoded.array, key)
