"""What a job computes, apart from its file: the question of a request, as the ledger keeps it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ...payload import Precision as Type
from ...payload import ReadOptions
from ...scheduling import Precision
from ..asking import Ask
from ..predict import Form
from ..rollouts import Steps
from .job import Piece


@dataclass(frozen=True)
class Assignment:
    """How to read the file, what to compute from it, and in which type to write that.

    Attributes:
        media: The media type of the file, as sent.
        options: How to read it.
        boundary: Boundaries that differ from the manifest's, by axis.
        dtype: The type of the fields in the result.
        precision: Of matrix products and convolutions.
        symmetrize: Whether to average over the group.
        steps: Of a rollout; None for one prediction.
    """

    media: str | None
    options: ReadOptions
    boundary: Mapping[str, str]
    dtype: Type
    precision: Precision
    symmetrize: bool
    steps: Steps | None

    @classmethod
    def of(cls, ask: Ask, form: Form) -> Self:
        """What a request asks."""
        return cls(ask.media, ask.options, ask.boundary, form.dtype, form.precision, form.symmetrize, form.steps)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        steps = found["steps"]
        parts = {"options": ReadOptions(**found["options"]), "steps": None if steps is None else Steps(**steps)}
        return cls(**{**found, **parts})

    def to_json(self) -> dict[str, Any]:
        """The assignment as plain JSON values."""
        steps = None if self.steps is None else vars(self.steps)
        return {**vars(self), "options": vars(self.options), "boundary": dict(self.boundary), "steps": steps}

    def digest(self, ask: Ask, body: Piece) -> str:
        """What two requests share that want the same of the same file."""
        said = json.dumps([ask.model, ask.version, self.to_json(), body.sha256], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()
