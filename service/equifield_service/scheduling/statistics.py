"""What each model has been asked and how long that took, counted since the start."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

STAGES = ("compute_input", "compute_infer", "compute_output")


@dataclass
class Duration:
    """How often something was done, and the seconds that it took altogether."""

    count: int = 0
    seconds: float = 0.0

    def add(self, count: int, seconds: float) -> None:
        """Counts `count` more, of `seconds` each."""
        self.count += count
        self.seconds += count * seconds

    def to_dict(self) -> dict[str, int]:
        """As the Open Inference Protocol's statistics extension has it."""
        return {"count": self.count, "ns": round(self.seconds * 1e9)}


def _durations() -> defaultdict[str, Duration]:
    return defaultdict(Duration)


@dataclass
class ModelStatistics:
    """One version of a model.

    Attributes:
        last: When a batch was last run, in seconds since 1970.
        samples: Predicted in successful requests.
        batches: Run.
        durations: Per request, by stage.
        by_size: Per batch, by samples and stage.
    """

    last: float = 0.0
    samples: int = 0
    batches: int = 0
    durations: defaultdict[str, Duration] = field(default_factory=_durations)
    by_size: defaultdict[int, defaultdict[str, Duration]] = field(default_factory=lambda: defaultdict(_durations))

    def to_dict(self) -> dict[str, Any]:
        """As the Open Inference Protocol's statistics extension has it."""
        names = ("success", "fail", "queue", *STAGES, "cache_hit", "cache_miss")
        return {
            "last_inference": round(self.last * 1000),
            "inference_count": self.samples,
            "execution_count": self.batches,
            "inference_stats": {name: self.durations[name].to_dict() for name in names},
            "batch_stats": [
                {"batch_size": size, **{name: stages[name].to_dict() for name in STAGES}}
                for size, stages in sorted(self.by_size.items())
            ],
        }


class Statistics:
    """The statistics of every version of every model that was asked something."""

    def __init__(self) -> None:
        self._models: defaultdict[tuple[str, str], ModelStatistics] = defaultdict(ModelStatistics)

    def of(self, model: str, version: str) -> ModelStatistics:
        """Those of one version; zeros where nobody asked it anything."""
        return self._models.get((model, version), ModelStatistics())

    def ran(
        self,
        model: str,
        version: str,
        *,
        samples: int,
        queued: Iterable[float],
        compute_input: float,
        compute_infer: float,
        compute_output: float,
    ) -> None:
        """Counts a batch: `queued` has the seconds that each request in it had waited, the rest are its own."""
        counted = self._models[model, version]
        counted.last, counted.batches = time.time(), counted.batches + 1
        sizes, requests = counted.by_size[samples], 0
        for seconds in queued:
            counted.durations["queue"].add(1, seconds)
            requests += 1
        for stage, seconds in zip(STAGES, (compute_input, compute_infer, compute_output), strict=True):
            counted.durations[stage].add(requests, seconds)
            sizes[stage].add(1, seconds)

    def answered(self, model: str, version: str, *, samples: int, seconds: float, success: bool) -> None:
        """Counts a request that was answered after `seconds`, with a prediction for its samples or with an error."""
        counted = self._models[model, version]
        counted.durations["success" if success else "fail"].add(1, seconds)
        if success:
            counted.samples += samples
