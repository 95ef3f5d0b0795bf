"""What a request asks, apart from its body, and the step that predict and check share: reading that body."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from equifield.package.manifest import FieldSpec, Manifest

from .. import tracing
from ..metrics import Metrics
from ..payload import Decoded, PayloadPool, ReadOptions
from .errors import DeadlineExceeded, InflatedTooLarge


@dataclass(frozen=True)
class Ask:
    """One question to a model.

    Attributes:
        model: Its name.
        version: Its version; None for the newest that is ready.
        deadline: When the answer is no longer wanted, in the event loop's time.
        media: The media type of the body, as sent.
        options: How to read the body.
        boundary: Boundaries that differ from the manifest's, by axis.
    """

    model: str
    version: str | None
    deadline: float
    media: str | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    boundary: Mapping[str, str] = field(default_factory=dict)

    def remaining(self) -> float:
        """Seconds until the deadline.

        Raises:
            DeadlineExceeded: it has passed.
        """
        left = self.deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlineExceeded(
                "The deadline passed before the answer was there. Allow more time with the header Equifield-Timeout-Ms."
            )
        return left


async def decode(pool: PayloadPool, metrics: Metrics, body: bytes, manifest: Manifest, ask: Ask) -> Decoded:
    """The body as the packed array that the model takes."""
    with tracing.span("payload decode"), metrics.payload_seconds.labels("decode").time():
        return await pool.decode(body, manifest, ask.options, media=ask.media, timeout=ask.remaining())


def sample_bytes(manifest: Manifest, grid: tuple[int, ...], frames: int = 1) -> int:
    """Bytes of one float32 sample on a grid, on its way in or out as so many states, whichever is more."""
    taken = features(manifest.inputs) * math.prod(grid)
    given = features(manifest.outputs) * math.prod(manifest.grid.refined(grid))
    return 4 * max(taken, given * frames)


def check_answer(samples: int, sample_bytes: int, *, most: int) -> None:
    """Lets a request pass whose samples fit into one answer.

    Raises:
        InflatedTooLarge: they have more than `most` bytes.
    """
    if samples * sample_bytes > most:
        raise InflatedTooLarge(
            f"The prediction for {samples} samples has {samples * sample_bytes} bytes, and one answer at most {most}: "
            f"{most // sample_bytes} samples. Send fewer, or raise EQUIFIELD_ARENA_BYTES."
        )


def features(fields: tuple[FieldSpec, ...]) -> int:
    """How many features some fields have when they are packed."""
    return sum(len(field.components) for field in fields)
