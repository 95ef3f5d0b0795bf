"""Predictors that a model has to beat."""

from collections.abc import Callable
from dataclasses import dataclass

from ..multi_image import MultiImage


@dataclass(frozen=True)
class Baseline:
    """A predictor that costs nothing beside a model, and what it does.

    - predict: from a batch of inputs to predictions, `(*batch, *grid)`.
    - says: what it does, for a card; a sentence whose subject is the name of the baseline.
    """

    predict: Callable[[MultiImage], MultiImage]
    says: str
