"""What a recipe's model is trained on: samples, and the statistics of their fields."""

import numpy as np

from ...package import Architecture, FieldSpec
from ..data import Constants, Normalised, Pairs, Samples, Series, Windows, batches, normalisation
from .recipe import Recipe, RecipeError
from .sources import Role

CHANGES = 256
"""From how many windows the size of the changes is measured."""


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
    if not isinstance(data, Pairs):
        raise RecipeError(
            f"{recipe.name} gives fields that it does not take, but its data are trajectories of the same fields. "
            f"Leave out `outputs`: it is a forecast."
        )
    return data


def training_samples(recipe: Recipe, role: Role) -> Samples:
    """The normalised samples of a role."""
    if not recipe.forecasts:
        return Normalised(open_pairs(recipe, role), recipe.inputs, recipe.given)
    windows = Windows(open_series(recipe, role), future=recipe.training.pushforward + recipe.training.steps)
    constants = (recipe.constants,) if recipe.constants else ()
    return Normalised(windows, recipe.given, recipe.given, *constants)


def measured(recipe: Recipe) -> Recipe:
    """The recipe with the means and scales of its fields, and with the size of the changes, in its training data."""
    if not recipe.forecasts:
        pairs = open_pairs(recipe, "training")
        inputs = normalisation(pairs.inputs, recipe.inputs)
        return recipe.model_copy(update={"inputs": inputs, "outputs": normalisation(pairs.outputs, recipe.given)})
    series = open_series(recipe, "training")
    fields = normalisation(series, recipe.given)
    if recipe.constants:
        fields += normalisation(Constants(series), recipe.constants)
    known = {field.name: field for field in fields}
    scaled = recipe.model_copy(
        update={
            "inputs": tuple(known[field.name] for field in recipe.inputs),
            "outputs": tuple(known[field.name] for field in recipe.outputs),
        }
    )
    if not recipe.residual:
        return scaled
    scale = _size_of_changes(series, scaled.given)
    networks = {"architecture": scaled.architecture, "twin": scaled.twin}
    wrapped = {name: _residual(network, scale) for name, network in networks.items() if network is not None}
    return scaled.model_copy(update={**wrapped, "residual": False})


def _residual(network: Architecture, scale: float) -> Architecture:
    return Architecture(name="Residual", config={"network": network.model_dump(mode="json"), "scale": scale})


def _size_of_changes(series: Series, fields: tuple[FieldSpec, ...]) -> float:
    """The root mean square of the difference between successive states, in normalised units."""
    windows = Normalised(Windows(series), fields, fields)
    chosen = np.unique(np.linspace(0, len(windows) - 1, CHANGES, dtype=int))
    changes = [np.square(np.asarray(after.array) - before.array) for before, after in batches(windows, chosen, 16)]
    return float(np.sqrt(np.mean(np.concatenate(changes))))
