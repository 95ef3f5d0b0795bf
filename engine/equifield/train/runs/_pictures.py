"""The pictures of a card: predictions beside the truth, and how the error of a forecast grows."""

import io
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from ...models import AbstractNetwork
from ...multi_image import MultiImage
from ...package.manifest import packed_fields
from ...plot import fields
from ...rollout import rollout
from ..data import Normalised, Windows
from ._evaluation import Evaluation
from ._samples import open_pairs, open_series
from .recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESOLUTION = 90
"""Dots per inch."""


def pictures_of(recipe: Recipe, network: AbstractNetwork, evaluation: Evaluation) -> dict[str, bytes]:
    """PNG files by their names in a package."""
    drawn = {"pictures/prediction.png": _prediction(recipe, network)}
    if evaluation.curves:
        drawn["pictures/errors.png"] = _curves(evaluation)
    return {name: _png(figure) for name, figure in drawn.items()}


def _prediction(recipe: Recipe, network: AbstractNetwork) -> "Figure":
    """The first sample for testing, or the first forecast of it: truth, prediction and their difference."""
    if recipe.forecasts:
        steps = recipe.evaluation.steps
        windows = Windows(open_series(recipe, "testing"), future=steps)
        constants = [recipe.constants] if recipe.constants else []
        history, future, *fixed = Normalised(windows, recipe.given, recipe.given, *constants)[np.arange(1)]
        start = history.with_array(jnp.asarray(history.array))
        states = rollout(network, start, steps=steps, constants=fixed[0] if fixed else None).states
        truth, predicted, after = future.array[0, -1], states.array[-1, 0], f" after {steps} steps"
    else:
        pairs = Normalised(open_pairs(recipe, "testing"), recipe.inputs, recipe.given)
        inputs, target = pairs[np.arange(1)]
        future, truth, after = target, target.array[0], ""
        predicted = network(inputs.with_array(jnp.asarray(inputs.array))).array[0]
    rows = jnp.stack([jnp.asarray(truth), predicted, predicted - truth])
    image = MultiImage(rows, future.field_type, future.boundary)
    titles = [field.name for field in packed_fields(recipe.given)]
    return fields(image, titles=titles, rows=[f"truth{after}", "prediction", "difference"])


def _curves(evaluation: Evaluation) -> "Figure":
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    for name, curve in evaluation.curves.items():
        axes.plot(np.arange(1, len(curve) + 1), curve, label=name, linewidth=1.4)
    axes.set_xlabel("step")
    axes.set_ylabel("SMSE, normalised")
    axes.set_yscale("log")
    axes.grid(True, which="major", linewidth=0.4, alpha=0.6)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _png(figure: "Figure") -> bytes:
    import matplotlib.pyplot as plt

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=RESOLUTION, metadata={"Software": None})
    plt.close(figure)
    return file.getvalue()
