"""How good a model is on data it has never seen, beside what costs nothing."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import BaseModel, ConfigDict

from ...groups import group_named
from ...multi_image import MultiImage
from ...ops import act, concatenate
from ...package import load_package
from ...rollout import Model, rollout
from .._losses import nrmse, smse
from ..data import Normalised, Samples, Windows, batches
from ._baselines import baselines_of
from ._samples import open_pairs, open_series
from ._training import RECIPE, TWIN, trained
from .recipe import Recipe, RecipeError

MODEL, PLAIN = "this model", "plain twin"
EVALUATION = "evaluation.json"
AGREE = 1e-2
"""How far, relatively, errors of the same model on the same data may differ from machine to machine."""

BOUND = 4.0
"""A forecast is stable while no state has more than so many times the mean square of the first."""

Score = dict[str, float]


class Evaluation(BaseModel):
    """The errors on the data for testing, in normalised units.

    - scores: by who predicts, by metric.
    - curves: by who predicts, the error after each step of a forecast.
    - baselines: by name, what those do that have learned nothing.
    """

    model_config = ConfigDict(frozen=True)

    scores: dict[str, Score]
    curves: dict[str, list[float]] = {}
    baselines: dict[str, str] = {}

    @property
    def metrics(self) -> list[str]:
        """What was measured of the model."""
        return list(self.scores[MODEL])

    def agrees(self, stated: "Evaluation") -> bool:
        """Whether the errors of the model are, up to what machines differ by, those stated before."""
        mine, theirs = self.scores[MODEL], stated.scores[MODEL]
        return mine.keys() == theirs.keys() and all(
            math.isclose(mine[name], theirs[name], rel_tol=AGREE) for name in mine
        )


def evaluate(folder: Path) -> Evaluation:
    """Judges the model that a recipe made in a folder, and its twin if there is one, and writes the errors down there.

    **Raises:** `RecipeError` for a folder in which no training has ended.
    """
    recipe, network = trained(folder)
    models: dict[str, Model] = {MODEL: network}
    if (folder / TWIN / RECIPE).exists():
        models[PLAIN] = trained(folder / TWIN)[1]
    evaluation = judged(recipe, models)
    (folder / EVALUATION).write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return evaluation


def evaluate_package(package: Path) -> tuple[Evaluation, Evaluation]:
    """The errors that a package states, and those of its model on the same data, now.

    **Raises:** `PackageError` for a package that is not whole, `RecipeError` for one that was made without a recipe.
    """
    loaded = load_package(package)
    if not {RECIPE, EVALUATION} <= loaded.manifest.files.keys():
        raise RecipeError(f"{package} carries no recipe: only what `equifield publish` packs can be judged again.")
    recipe = Recipe.model_validate_json((package / RECIPE).read_text(encoding="utf-8"))
    stated = Evaluation.model_validate_json((package / EVALUATION).read_text(encoding="utf-8"))
    return stated, judged(recipe, {MODEL: loaded.model.network})


def judged(recipe: Recipe, models: Mapping[str, Model]) -> Evaluation:
    """The errors of models in normalised units, and of predictors that have learned nothing."""
    baselines = baselines_of(recipe)
    everyone: dict[str, Model] = {**models, **{name: baseline.predict for name, baseline in baselines.items()}}
    says = {name: baseline.says for name, baseline in baselines.items()}
    if recipe.forecasts:
        found = {name: _forecast(recipe, model) for name, model in everyone.items()}
        return Evaluation(
            scores={name: score for name, (score, _) in found.items()},
            curves={name: curve for name, (_, curve) in found.items()},
            baselines=says,
        )
    pairs = Normalised(open_pairs(recipe, "testing"), recipe.inputs, recipe.given)
    scores = {name: _regression(recipe, model, pairs) for name, model in everyone.items()}
    return Evaluation(scores=scores, baselines=says)


def _regression(recipe: Recipe, model: Model, pairs: Samples) -> Score:
    def errors(batch: tuple[MultiImage, MultiImage]) -> dict[str, Float[Array, " batch"]]:
        inputs, target = batch
        prediction = model(inputs)
        return {
            "SMSE": smse(prediction, target),
            "NRMSE": nrmse(prediction, target),
            "SMSE, turned": _turned(recipe, model, batch),
        }

    return _means(errors, pairs, recipe.training.batch_size)


def _forecast(recipe: Recipe, model: Model) -> tuple[Score, list[float]]:
    series, judge = open_series(recipe, "testing"), recipe.evaluation
    fields = (recipe.given, recipe.given, *([recipe.constants] if recipe.constants else []))

    def one(batch: tuple[MultiImage, ...]) -> dict[str, Float[Array, " batch"]]:
        history, future, *constants = batch
        given = _joined(_at(history, 0), *constants)
        pair = (given, _at(future, 0))
        return {"one step": smse(model(pair[0]), pair[1]), "one step, turned": _turned(recipe, model, pair)}

    def many(batch: tuple[MultiImage, ...]) -> dict[str, Float[Array, "batch steps"]]:
        history, future, *constants = batch
        states = rollout(model, _time_first(history), steps=judge.steps, constants=constants[0] if constants else None)
        return {"curve": jnp.moveaxis(smse(states.states, _time_first(future)), 0, -1)}

    size = recipe.training.batch_size
    score: Score = _means(one, Normalised(Windows(series), *fields), size)
    starts = Normalised(_First(Windows(series, future=judge.steps)), *fields)
    curve = _means(many, starts, size)["curve"]
    score[f"{judge.steps} steps"] = float(np.mean(curve))
    if judge.stable_steps is not None:
        score["stable steps"] = _stable(model, starts, judge.stable_steps)
    return score, [float(value) for value in np.atleast_1d(curve)]


class _First:
    """The window at the beginning of each trajectory."""

    def __init__(self, windows: Windows):
        self._windows = windows
        self._each = len(windows) // windows.series.trajectories

    def __len__(self) -> int:
        return self._windows.series.trajectories

    def __getitem__(self, chosen: Int[np.ndarray, " batch"]) -> Any:
        return self._windows[np.arange(len(self))[chosen] * self._each]


def _means(errors: Callable[[Any], dict[str, Array]], samples: Samples, size: int) -> dict[str, Any]:
    """The mean over all samples of everything that `errors` gives for a batch of them."""
    compiled, totals = eqx.filter_jit(errors), dict[str, Any]()
    for batch in batches(samples, np.arange(len(samples)), size):
        for name, values in compiled(batch).items():
            totals[name] = totals.get(name, 0.0) + np.sum(np.asarray(values, np.float64), axis=0)
    return {name: total / len(samples) for name, total in totals.items()}


def _turned(recipe: Recipe, model: Model, pair: tuple[MultiImage, MultiImage]) -> Float[Array, " batch"]:
    """The error on a sample that is turned with its target, by the last element of the group."""
    element = group_named(recipe.group).elements[-1]
    given, target = (act(element, image) for image in pair)
    return smse(model(given), target)


def _stable(model: Model, starts: Samples, steps: int) -> float:
    """After how many steps the first of the forecasts is no longer bounded; all steps where none is."""

    def sizes(batch: tuple[MultiImage, ...]) -> Float[Array, "batch steps"]:
        history, _, *constants = batch
        first = _time_first(history)
        states = rollout(model, first, steps=steps, constants=constants[0] if constants else None).states
        before, after = (jnp.mean(jnp.square(x.array), axis=(*x.grid_axes, -1)) for x in (first, states))
        return jnp.moveaxis(after / before, 0, -1)

    compiled = eqx.filter_jit(sizes)
    ratios = np.concatenate([compiled(batch) for batch in batches(starts, np.arange(len(starts)), len(starts))])
    bounded = np.cumprod(np.nan_to_num(ratios, nan=np.inf) <= BOUND, axis=1).sum(axis=1)
    return float(bounded.min())


def _joined(state: MultiImage, *constants: MultiImage) -> MultiImage:
    return concatenate(state, *constants) if constants else state


def _at(image: MultiImage, time: int) -> MultiImage:
    return image.with_array(jnp.asarray(image.array)[:, time])


def _time_first(image: MultiImage) -> MultiImage:
    return image.with_array(jnp.moveaxis(jnp.asarray(image.array), 1, 0))
