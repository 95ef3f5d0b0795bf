"""What predicts without having learned anything."""

import jax.numpy as jnp

from ...groups import group_named
from ...models import LastStep
from ...multi_image import MultiImage
from ...nn import Upsample
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

    def zero(image: MultiImage) -> MultiImage:
        shape = (*image.batch, *recipe.grid.refined(image.grid), target.size(image.ndim))
        return MultiImage(jnp.zeros(shape), target, image.boundary)

    known = {MEAN: Baseline(zero, "always predicts the mean of the training data")}
    if recipe.grid.refinement > 1:
        return known | (_interpolations(recipe.grid.refinement) if recipe.keeps_fields else {})
    classical = recipe.data.baselines(recipe.inputs, recipe.given, recipe.grid)
    return known | {name: _normalised(recipe, baseline) for name, baseline in classical.items()}


def _interpolations(factor: int) -> dict[str, Baseline]:
    linear = Baseline(Upsample(factor, method="linear"), "is linear between the centres of the cells, axis by axis")
    cubic = Baseline(Upsample(factor, method="cubic"), "is Keys' cubic convolution of the cells, axis by axis")
    return {"linear interpolation": linear, "cubic interpolation": cubic}


def _normalised(recipe: Recipe, baseline: Baseline) -> Baseline:
    """A baseline in physical units between fields in normalised ones."""
    before, after = (affine(fields, len(recipe.grid.axes)) for fields in (recipe.inputs, recipe.given))
    return Baseline(lambda image: normalise(baseline.predict(restore(image, before)), after), baseline.says)
