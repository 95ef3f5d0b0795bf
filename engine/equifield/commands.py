"""The engine's part of the `equifield` command: train, evaluate, publish.

Imports only what a command line needs, so that `equifield --help` is quick; the rest comes with the commands.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

if missing := [name for name in ("cf_units", "exponax", "h5py", "optax") if find_spec(name) is None]:
    raise ImportError(f"no {', '.join(missing)}")

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from .train import Epoch
    from .train.runs import Evaluation

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)]
Into = Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME")]
Twin = Annotated[bool, typer.Option("--twin", help="Train the unconstrained twin instead, to compare with.")]
Devices = Annotated[
    int | None, typer.Option(min=1, help="Divide every batch among so many devices, such as GPUs.", show_default="one")
]
Logs = Annotated[
    list[str] | None,
    typer.Option("--log", help="Log to tensorboard or wandb too; may be given for each."),
]
Run = Annotated[Path | None, typer.Argument(help="Folder of the run.", show_default=False)]
Finished = Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)]
Package = Annotated[Path | None, typer.Option(help="Measure the figures of a published package again.")]
Store = Annotated[Path, typer.Option(help="Folder of model packages.", envvar="EQUIFIELD_STORE")]

_out, _err = Console(), Console(stderr=True, highlight=False)


def train(recipe: RecipeFile, into: Into = None, twin: Twin = False, log: Logs = None, devices: Devices = None) -> None:
    """Train the model of a recipe; after an interruption the same command goes on."""
    with _refusing():
        import jax

        from .train import runs

        known = jax.devices()
        if devices is not None and devices > len(known):
            raise ValueError(f"--devices {devices} asks for more than there are: {known}.")
        among = None if devices is None else known[:devices]
        followed = runs.read_recipe(recipe)
        folder = Path("runs") / followed.name if into is None else into
        job = (runs.twin_of(followed), folder / runs.TWIN) if twin else (followed, folder)
        with _Bar() as bar:
            result = runs.train(*job, bar, logs=log or (), devices=among)
    if not all(math.isfinite(epoch.training) for epoch in result.epochs):
        _err.print(f"equifield: the loss is no number in epoch {len(result.epochs)}. Lower the learning rate.")
        raise typer.Exit(1)
    best = min(epoch.counts for epoch in result.epochs)
    _err.print(f"{len(result.epochs)} epochs, lowest validation loss {best:.4g}. Next: equifield evaluate {folder}")


def evaluate(run: Run = None, package: Package = None) -> None:
    """Measure the errors of a trained model on data it has not seen, beside those of what learns nothing."""
    with _refusing():
        from .train import runs

        if (run is None) == (package is None):
            raise ValueError("Give the folder of a run, or --package and the folder of a package.")
        if run is not None:
            _show(runs.evaluate(run))
        elif package is not None:
            stated, measured = runs.evaluate_package(package)
            _show(measured)
            if not measured.agrees(stated):
                raise ValueError(f"These are not the figures that {package} states in its card.")
            _err.print("These are the figures that the package states.")


def publish(run: Finished, store: Store = Path("models_store")) -> None:
    """Certify a trained model and put it into a store, with a card of what was measured."""
    with _refusing():
        from .train import runs

        _out.print(str(runs.publish(run, store)))


@contextmanager
def _refusing() -> Iterator[None]:
    """Says in a sentence what cannot be done, with the exit codes 2, and 7 where something is not installed."""
    try:
        yield
    except ImportError as error:
        _err.print(f"equifield: {error}", markup=False)
        raise typer.Exit(7) from None
    except (ValueError, OSError) as error:
        _err.print(f"equifield: {error}", markup=False)
        raise typer.Exit(2) from None


def _show(evaluation: "Evaluation") -> None:
    table = Table("", *evaluation.metrics)
    for name, score in evaluation.scores.items():
        table.add_row(name, *(f"{score[metric]:.4g}" if metric in score else "-" for metric in evaluation.metrics))
    _out.print(table)


class _Bar:
    """Progress of a training: steps, rate, remaining time, losses."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=_err,
        )

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, steps: int) -> None:
        """Before the first step."""
        self._task = self._progress.add_task("training", total=steps, rate="", losses="")

    def step(self, number: int, loss: float) -> None:
        """After a step."""
        speed = self._progress.tasks[self._task].speed
        self._progress.update(self._task, completed=number, rate=f"{speed:.1f} steps/s" if speed else "")

    def epoch(self, number: int, losses: "Epoch") -> None:
        """After an epoch."""
        text = f"epoch {number + 1}: loss {losses.training:.4g}, validation {losses.validation:.4g}"
        self._progress.update(self._task, losses=text)
