"""What a worker must know of the settings; crosses the process border once, at the start."""

from dataclasses import dataclass

from ..logs import LogOptions


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker compiles, and how much it keeps.

    Attributes:
        max_batch: The largest batch, in samples.
        max_compiled_grids: Grids kept compiled per model.
        compilation_cache: Folder of JAX's persistent cache.
        device_bytes: Device memory for models; None without a limit.
        log: How to log.
        otlp_endpoint: Where spans go; None for nowhere.
    """

    max_batch: int
    max_compiled_grids: int
    compilation_cache: str | None = None
    device_bytes: int | None = None
    log: LogOptions = LogOptions()
    otlp_endpoint: str | None = None
