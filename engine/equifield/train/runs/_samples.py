"""What a recipe's model is trained on: samples, and the statistics of their fields."""

import jax.numpy as jnp
import numpy as np

from ...nn import Upsample
from ...package import Architecture
from ..data import (
    Coarsened,
    Constants,
    Excerpt,
    Normalised,
    Pairs,
    Samples,
    Series,
    Windows,
    batches,
    normalisation,
)
from .recipe import Recipe, RecipeError
from .sources import Role

CHANGES = 256
"""From how many samples the size of the changes is measured."""


def open_series(recipe: Recipe, role: Role) -> Series:
    """The trajectories of a role of a forecast. **Raises** `RecipeError` when the data are none of its fields."""
    data = recipe.data.open(role, recipe.inputs, recipe.given, recipe.grid)
    if isinstance(data, Pairs):
        raise RecipeError(
            f"{recipe.name} gives fields that it takes, which is a forecast, but its data are pairs of fields."
        )
    return data


def open_pairs(recipe: Recipe, role: Role) -> Pairs:
    """The inputs and outputs of a role of a regression. **Raises** `RecipeError` when the data are no pairs."""
    data = recipe.data.open(role, recipe.inputs, recipe.given, recipe.grid)
    if recipe.grid.refinement > 1:
        return _on_two_grids(data, recipe.grid.refinement)
    if not isinstance(data, Pairs):
        raise RecipeError(
            f"{recipe.name} gives fields that it does not take, but its data are trajectories of the same fields. "
            f"Leave out `outputs`: it is a forecast."
        )
    return data


def _on_two_grids(data: Series | Pairs, refinement: int) -> Pairs:
    """The data, without the pixels that fill no cell, and what cells of so many pixels per axis see of their inputs."""
    inputs, outputs = (data.inputs, data.outputs) if isinstance(data, Pairs) else (data, data)
    pixels = tuple(side - side % refinement for side in inputs.grid)
    return Pairs(Coarsened(Excerpt(inputs, pixels=pixels), refinement), Excerpt(outputs, pixels=pixels))


def training_samples(recipe: Recipe, role: Role) -> Samples:
    """The normalised samples of a role."""
    if not recipe.forecasts:
        return Normalised(open_pairs(recipe, role), recipe.inputs, recipe.given)
    return _windows(recipe, role, future=recipe.training.pushforward + recipe.training.steps)


def _windows(recipe: Recipe, role: Role, future: int) -> Samples:
    constants = (recipe.constants,) if recipe.constants else ()
    return Normalised(Windows(open_series(recipe, role), future=future), recipe.given, recipe.given, *constants)


def measured(recipe: Recipe) -> Recipe:
    """The recipe with the means and scales of its fields, and with the size of the changes, in its training data."""
    scaled = _scaled_forecast(recipe) if recipe.forecasts else _scaled_regression(recipe)
    if not recipe.residual:
        return scaled
    scale = _size_of_changes(scaled)
    networks = {"architecture": scaled.architecture, "twin": scaled.twin}
    wrapped = {name: _residual(network, scale) for name, network in networks.items() if network is not None}
    return scaled.model_copy(update={**wrapped, "residual": False})


def _scaled_forecast(recipe: Recipe) -> Recipe:
    series = open_series(recipe, "training")
    fields = normalisation(series, recipe.given)
    if recipe.constants:
        fields += normalisation(Constants(series), recipe.constants)
    known = {field.name: field for field in fields}
    return recipe.model_copy(
        update={
            "inputs": tuple(known[field.name] for field in recipe.inputs),
            "outputs": tuple(known[field.name] for field in recipe.outputs),
        }
    )


def _scaled_regression(recipe: Recipe) -> Recipe:
    """A field that is given on a finer grid than it is taken has one scale, that of the finer grid."""
    pairs = open_pairs(recipe, "training")
    outputs = normalisation(pairs.outputs, recipe.given)
    inputs = outputs if recipe.keeps_fields else normalisation(pairs.inputs, recipe.inputs)
    return recipe.model_copy(update={"inputs": inputs, "outputs": outputs})


def _residual(network: Architecture, scale: float) -> Architecture:
    return Architecture(name="Residual", config={"network": network.model_dump(mode="json"), "scale": scale})


def _size_of_changes(recipe: Recipe) -> float:
    """The root mean square, in normalised units, of what `models.Residual` leaves to its network."""
    if recipe.forecasts:
        samples = _windows(recipe, "training", future=1)
    else:
        samples = Normalised(open_pairs(recipe, "training"), recipe.inputs, recipe.given)
    start = Upsample(recipe.grid.refinement, method="cubic")
    chosen = np.unique(np.linspace(0, len(samples) - 1, CHANGES, dtype=int))
    changes = [
        np.square(np.asarray(after.array) - np.asarray(start(before.with_array(jnp.asarray(before.array))).array))
        for before, after, *_ in batches(samples, chosen, 16)
    ]
    return float(np.sqrt(np.mean(np.concatenate(changes))))
