"""From a recipe to a trained model, in a folder."""

import dataclasses
import importlib.metadata
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.random as jr

from ...models import AbstractNetwork
from ...package._checkpoint import restore, save
from .. import _losses
from .._checkpoints import Checkpoints
from .._fit import Fit, fit
from .._objectives import Forecast, Regression, weighted
from .._state import Epoch, Loss
from ._log import Write
from ._logs import logs_named
from ._optimiser import optimiser
from ._samples import measured, training_samples
from .recipe import Recipe, RecipeError

RECIPE, WEIGHTS, CHECKPOINTS = "recipe.json", "weights", "checkpoints"
ORIGIN = "origin.json"
"""The version of the engine, and the commit of the repository in which the training ended."""

TWIN = "twin"
"""Where in the folder of a model its twin is."""


@runtime_checkable
class Listener(Protocol):
    """What is told while a model is trained."""

    def start(self, steps: int) -> None:
        """Before the first step: how many there will be at most."""
        ...

    def step(self, number: int, loss: float) -> None:
        """After some steps, those before an interruption included."""
        ...

    def epoch(self, number: int, losses: Epoch) -> None:
        """After an epoch."""
        ...


def twin_of(recipe: Recipe) -> Recipe:
    """The same recipe for the unconstrained twin. **Raises** `RecipeError` where there is none."""
    if recipe.twin is None:
        raise RecipeError(f"The recipe of {recipe.name} names no twin. Add one as the entry `twin`.")
    return recipe.model_copy(update={"architecture": recipe.twin, "twin": None})


def train(
    recipe: Recipe,
    folder: Path,
    listener: Listener | None = None,
    *,
    logs: Collection[str] = (),
    devices: Sequence[jax.Device] | None = None,
) -> Fit:
    """Follows a recipe in a folder, or goes on with it there.

    The folder holds the recipe with the statistics of its data, checkpoints, a line of JSON for each epoch, and at the
    end the weights of the best model. `logs` says where else the epochs are written: `tensorboard`, `wandb`. Each
    batch is divided among the devices, as `train.fit` does it.

    **Raises:** `ImportError` before anything else for a log whose package is not installed, `LogRefused` for one that
    cannot be opened; `OtherTraining` for the folder of another recipe, and what the readers of the data raise.
    """
    kinds = logs_named(logs)
    recipe = measured(recipe)
    settings = recipe.training
    folder.mkdir(parents=True, exist_ok=True)
    data = training_samples(recipe, "training")
    with ExitStack() as stack:
        about = recipe.model_dump(mode="json")
        checkpoints = stack.enter_context(Checkpoints(folder / CHECKPOINTS, about=about))
        writes = [stack.enter_context(log(folder, recipe, checkpoints.epochs)) for log in kinds]
        if listener is not None:
            listener.start(settings.epochs * -(-len(data) // settings.batch_size))
        result = fit(
            recipe.network(recipe.architecture, settings.seed),
            loss_of(recipe),
            optimiser(settings, len(data)),
            data,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            validation=training_samples(recipe, "validation"),
            patience=settings.patience,
            average=settings.average,
            precision=settings.precision,
            checkpoints=checkpoints,
            on_step=None if listener is None else listener.step,
            on_epoch=_writing(writes, listener),
            devices=devices,
            key=jr.key(settings.seed),
        )
    shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
    save(result.model, folder / WEIGHTS)
    origin = {"engine_version": importlib.metadata.version("equifield"), "commit": _commit()}
    (folder / ORIGIN).write_text(json.dumps(origin) + "\n", encoding="utf-8")
    (folder / RECIPE).write_text(recipe.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return result


def trained(folder: Path) -> tuple[Recipe, AbstractNetwork]:
    """The recipe that was followed in a folder, with its statistics, and the network that came out.

    **Raises:** `RecipeError` for a folder in which no training has ended.
    """
    try:
        recipe = Recipe.model_validate_json((folder / RECIPE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"No training has ended in {folder}. Run `equifield train` first.") from None
    skeleton = eqx.filter_eval_shape(recipe.network, recipe.architecture, 0)
    network: AbstractNetwork = restore(skeleton, folder / WEIGHTS)
    return recipe, network


def loss_of(recipe: Recipe) -> Loss:
    """What a recipe minimises."""
    measure = weighted({getattr(_losses, name): weight for name, weight in recipe.training.loss.items()})
    return Forecast(measure, pushforward=recipe.training.pushforward) if recipe.forecasts else Regression(measure)


def _commit() -> str | None:
    """The commit of the repository in which this runs, or None outside of one."""
    try:
        said = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None


def _writing(writes: Sequence[Write], listener: Listener | None) -> Callable[[int, Epoch], None]:
    """Writes the losses of each epoch, and how many seconds it took, into every log."""
    began = time.perf_counter()

    def on_epoch(number: int, epoch: Epoch) -> None:
        nonlocal began
        now = time.perf_counter()
        losses = {name: loss for name, loss in dataclasses.asdict(epoch).items() if loss is not None}
        for write in writes:
            write(number, {**losses, "seconds": round(now - began, 3)})
        began = now
        if listener is not None:
            listener.epoch(number, epoch)

    return on_epoch
