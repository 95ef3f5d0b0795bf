"""From a trained model to a package of a store."""

import json
from datetime import UTC, datetime
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ...inference import fold, merge
from ...models import AbstractNetwork
from ...multi_image import random_image
from ...package import FieldModel, Provenance, field_type_of, write_package
from ._card import card_of
from ._evaluation import EVALUATION, Evaluation
from ._pictures import pictures_of
from ._training import ORIGIN, RECIPE, trained
from .recipe import Recipe, RecipeError

FOLDED = 1e-5
"""How far, relatively, rounding may take the folded model from the trained one."""


def publish(folder: Path, store: Path) -> Path:
    """Certifies the model of a run and publishes it, with a card made of what was measured.

    The package carries its recipe and its evaluation, so that `evaluate_package` can measure the figures again.

    **Returns:** the path of the package.

    **Raises:** `RecipeError` for a run that has not been trained and evaluated; `ValueError` for a model that does not
    commute with its group, or whose folded form gives something else; `PackageExists`; and what the readers of the data
    raise, which the card describes.
    """
    recipe, network = trained(folder)
    evaluation = _evaluation(folder)
    _check_folded(recipe, network)
    provenance = Provenance(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        **json.loads((folder / ORIGIN).read_text(encoding="utf-8")),
        training="equifield train recipe.json",
        data=recipe.data.describe(),
        seed=recipe.training.seed,
    )
    pictures = pictures_of(recipe, network, evaluation)
    attachments = {
        RECIPE: (folder / RECIPE).read_bytes(),
        EVALUATION: (folder / EVALUATION).read_bytes(),
        **pictures,
    }
    card = card_of(recipe, evaluation, provenance, folder, list(pictures))
    return write_package(store, recipe.manifest(provenance), network, card=card, attachments=attachments)


def _evaluation(folder: Path) -> Evaluation:
    try:
        return Evaluation.model_validate_json((folder / EVALUATION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(
            f"Nobody has judged the model in {folder}. Run `equifield evaluate {folder}` first."
        ) from None


def _check_folded(recipe: Recipe, network: AbstractNetwork) -> None:
    """**Raises** `ValueError` when what a service will run is not what was trained.

    Numbers are as far apart as their size says, so a field that varies little around its mean is rounded more.
    """
    model = FieldModel(network, recipe.inputs, recipe.given, len(recipe.grid.axes))
    normal = random_image(
        field_type_of(recipe.inputs), recipe.grid.boundary, recipe.grid.default, batch=(2,), key=jr.key(0)
    )
    image = model.physical(normal)
    served, given = (model.normalised(eqx.filter_jit(form)(image)).array for form in (fold(merge(model, image)), model))
    spacing = float(np.finfo(given.dtype).eps) * max(abs(field.mean) / field.scale for field in recipe.given)
    allowed = FOLDED * jnp.linalg.norm(given) + spacing * given.size**0.5
    if not (error := jnp.linalg.norm(served - given)) <= allowed:
        raise ValueError(
            f"The folded form of {recipe.name}, which a service runs, differs from the trained model by {error:.2e} in "
            f"normalised units, more than the {allowed:.2e} that rounding explains."
        )
