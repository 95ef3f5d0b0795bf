"""What predicts without having learned anything."""

import functools

import jax.numpy as jnp

from ...field_type import FieldType
from ...groups import group_named
from ...models import LastStep
from ...multi_image import MultiImage
from ...package import field_type_of
from ...package._field_model import affine, normalise, restore
from .._baseline import Baseline
from .recipe import Recipe

PERSISTENCE, MEAN = "persistence", "the mean"


def baselines_of(recipe: Recipe) -> dict[str, Baseline]:
    """By name, what the model of a recipe with the statistics of its data has to beat, in normalised units."""
    source, target = field_type_of(recipe.inputs), field_type_of(recipe.given)
    if recipe.forecasts:
        same = LastStep(group_named(recipe.group), source, target, past_steps=1)
        return {PERSISTENCE: Baseline(same, "predicts that nothing changes")}
    known = recipe.data.baselines(recipe.inputs, recipe.given, recipe.grid)
    mean = Baseline(functools.partial(_zero, target), "always predicts the mean of the training data")
    return {MEAN: mean, **{name: _normalised(recipe, baseline) for name, baseline in known.items()}}


def _zero(target: FieldType, image: MultiImage) -> MultiImage:
    return MultiImage(jnp.zeros((*image.array.shape[:-1], target.size(image.ndim))), target, image.boundary)


def _normalised(recipe: Recipe, baseline: Baseline) -> Baseline:
    """A baseline in physical units between fields in normalised ones."""
    before, after = (affine(fields, len(recipe.grid.axes)) for fields in (recipe.inputs, recipe.given))
    return Baseline(lambda image: normalise(baseline.predict(restore(image, before)), after), baseline.says)
