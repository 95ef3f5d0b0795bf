"""The card of a model: what a reader must know, made of what was measured."""

import json
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx

from ...package import Architecture, Provenance
from ...planner._layers import parameters
from ._data import described, table
from ._evaluation import PLAIN, Evaluation
from ._json_lines import LOG
from .recipe import Recipe


def card_of(
    recipe: Recipe,
    evaluation: Evaluation,
    provenance: Provenance,
    folder: Path,
    pictures: Sequence[str],
) -> str:
    """Markdown: what the model does, how well, beside what, and where it comes from."""
    epochs = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    minutes = sum(epoch["seconds"] for epoch in epochs) / 60
    parts = [
        f"# {recipe.title}",
        f"{recipe.description} {_networks(recipe, evaluation)}",
        "## Errors on data it has not seen",
        _scores(evaluation),
        _explanation(recipe, evaluation),
        *(f"![{Path(name).stem}]({name})" for name in pictures),
        "## Data",
        described(recipe),
        "## Training",
        f"{len(epochs)} epochs in {minutes:.1f} minutes, seed {recipe.training.seed}; the model is that of the lowest "
        f"validation loss, {min(epoch['validation'] for epoch in epochs):.4g}. Equifield {provenance.engine_version}, "
        f"commit {provenance.commit or 'unknown'}. `equifield train recipe.json` trains it again, `equifield evaluate "
        f"--package` on this folder measures the table again.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in recipe.limits) or "None are known, because none were looked for.",
    ]
    return "\n\n".join(parts) + "\n"


def _networks(recipe: Recipe, evaluation: Evaluation) -> str:
    """What the model and its twin are, and what they commute with."""
    said = (
        f"The network, {_counted(recipe, recipe.architecture)}, commutes with {recipe.group} and with translations "
        f"along periodic axes; `certificate.json` has the measured errors."
    )
    if recipe.twin is None or PLAIN not in evaluation.scores:
        return said
    return f"{said} The {PLAIN}, {_counted(recipe, recipe.twin)}, commutes with such translations alone."


def _counted(recipe: Recipe, architecture: Architecture) -> str:
    """An architecture, with the one inside of it, and how much there is to train."""
    match architecture.config.get("network"):
        case {"name": str(inner)}:
            name = f"{architecture.name}({inner})"
        case _:
            name = architecture.name
    return f"{name} of {parameters(eqx.filter_eval_shape(recipe.network, architecture, 0))} parameters"


def _scores(evaluation: Evaluation) -> str:
    metrics = evaluation.metrics
    rows = [[name, *(f"{score[metric]:.4g}" for metric in metrics)] for name, score in evaluation.scores.items()]
    return table(["", *metrics], rows)


def _explanation(recipe: Recipe, evaluation: Evaluation) -> str:
    """What the columns and the baselines of the table are."""
    sentences = [
        "Errors are in normalised units: fields divided by their scales in `manifest.json`. SMSE is the sum over "
        "components of the mean squared error; `turned`: of the same data after a rotation or reflection."
    ]
    judge = recipe.evaluation
    if recipe.forecasts:
        sentences += [
            f"`one step`: SMSE of the next state, over all states. `{judge.steps} steps`: the mean SMSE over the "
            f"states of a forecast from the beginning of each trajectory."
        ]
    if recipe.forecasts and judge.stable_steps is not None:
        sentences += [
            f"`stable steps`: how many of {judge.stable_steps} pass before the mean square of any forecast is more "
            f"than four times that of its start."
        ]
    return " ".join([*sentences, *(f"`{name}` {says}." for name, says in evaluation.baselines.items())])
