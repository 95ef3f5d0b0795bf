"""What a symmetry is worth: errors of equivariant networks and of unconstrained ones, by the amount of data.

    make bench-accuracy            hours on two cores, for a GPU
    make bench-accuracy QUICK=1    one architecture and one seed, within 20 minutes on two cores

Networks forecast decaying turbulence. `plain` is unconstrained; `small` is equivariant with as many features in every
layer, at the same cost at inference; `large` is equivariant with as many parameters. All are trained by the same
recipe with the same number of updates, whatever the number of trajectories, and judged on the same ones, which none of
them has seen; the model is that of the lowest validation loss. All of them multiply their fields (`products`), and are
trained on states as they predict them themselves (`pushforward`): without that, a longer training ended in a worse
forecast (benchmarks/NOTES.md).

Prints a table, and writes it with a description of the machine to `benchmarks/results/accuracy.json` and into
`docs/benchmarks.md`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from benchmarks.compare import Row
from benchmarks.report import RESULTS, machine, printed, write_page
from equifield.train.runs import Recipe, judged, train, trained

PLAIN, SMALL, LARGE = "plain", "small", "large"
MODEL = "this model"
STEPS = 15
PUSHFORWARD = 3
PARTS = {"scalar": 1, "pseudoscalar": 1, "vector": 1}
"""The fields between the layers of an equivariant network: as many of each."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "ResNet": {"num_blocks": 2},
    "DilatedResNet": {"num_blocks": 1},
    "UNet": {"num_downsamples": 2},
}
BASE: dict[str, Any] = {
    "name": "accuracy",
    "title": "Turbulence",
    "description": "Decaying turbulence.",
    "group": "B2",
    "residual": True,
    "inputs": [
        {
            "name": "velocity",
            "order": 1,
            "units": "1",
            "components": [{"axes": ["x"], "variable": "u"}, {"axes": ["y"], "variable": "v"}],
        }
    ],
    "evaluation": {"steps": STEPS},
}


def recipe(architecture: str, network: str, width: int, trajectories: int, seed: int, quick: bool) -> Recipe:
    """One training. `width` is the number of each of `PARTS`, or a quarter of that of plain features."""
    hidden = f"{4 * width}x scalar" if network == PLAIN else " + ".join(f"{width}x {part}" for part in PARTS)
    points, states, batch, updates = (32, 20, 8, 600) if quick else (64, 20, 8, 20_000)
    samples = trajectories * (states - 1 - PUSHFORWARD)
    return Recipe.model_validate(
        BASE
        | {
            "architecture": {
                "name": architecture if network != PLAIN else f"Plain{architecture}",
                "config": {"hidden": hidden, "norm_groups": None, "products": True, **ARCHITECTURES[architecture]},
            },
            "grid": {"axes": ["x", "y"], "boundary": ["periodic", "periodic"], "multiple": 4, "minimum": 16},
            "data": {
                "source": "simulation",
                "problem": "decaying-turbulence-2d",
                "parameters": {
                    "points": points,
                    "simulated": 2 * points,
                    "steps": states,
                    "interval": 0.1,
                    "substeps": 10 * points // 32,
                },
                "training": trajectories,
                "validation": 8,
                "testing": 16,
            },
            "training": {
                "epochs": max(1, round(updates * batch / samples)),
                "batch_size": batch,
                "learning_rate": 5e-3,
                "average": 0.99,
                "pushforward": PUSHFORWARD,
                "seed": seed,
            },
        }
    )


def parameters(followed: Recipe) -> int:
    """The number of weights of a recipe's network."""
    network = eqx.filter_eval_shape(followed.network, followed.architecture, 0)
    return sum(leaf.size for leaf in jax.tree.leaves(network) if isinstance(leaf, jax.ShapeDtypeStruct))


def wide(architecture: str, width: int, quick: bool) -> int:
    """The width at which an equivariant network has about as many parameters as the plain one of a width."""
    aim = parameters(recipe(architecture, PLAIN, width, 10, 0, quick))
    found = width
    while parameters(recipe(architecture, LARGE, found + 1, 10, 0, quick)) <= aim:
        found += 1
    return found


def figures(followed: Recipe) -> tuple[dict[str, float], float]:
    """The errors of a network that is trained now, and the seconds of an epoch without the compilation."""
    with tempfile.TemporaryDirectory() as folder:
        train(followed, Path(folder))
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
        known, network = trained(Path(folder))
        jax.clear_caches()  # type: ignore[no-untyped-call]
        score = judged(known, {MODEL: network}).scores[MODEL]
    return score, statistics.median(line["seconds"] for line in lines[1:] or lines)


def rows(quick: bool, seeds: Sequence[int]) -> Iterator[Row]:
    """One row for each architecture, network and amount of data: means over seeds, and their standard deviations."""
    amounts, width = ((10, 100), 6) if quick else ((10, 30, 100, 300), 12)
    for architecture in ["ResNet"] if quick else ARCHITECTURES:
        widths = {PLAIN: width, SMALL: width, LARGE: wide(architecture, width, quick)}
        for amount in amounts:
            plain: dict[str, float] = {}
            for network, channels in widths.items():
                tried = [recipe(architecture, network, channels, amount, seed, quick) for seed in seeds]
                scores, seconds = zip(*map(figures, tried), strict=True)
                row: Row = {
                    "architecture": architecture,
                    "network": network,
                    "parameters": parameters(tried[0]),
                    "trajectories": amount,
                    **_summary("one step", scores),
                    "turned": statistics.mean(score["one step, turned"] for score in scores),
                    **_summary(f"{STEPS} steps", scores),
                    "s per epoch": statistics.mean(seconds),
                }
                plain = plain or row
                row["plain / this"] = plain[f"{STEPS} steps"] / row[f"{STEPS} steps"]
                yield row


def _summary(metric: str, scores: tuple[dict[str, float], ...]) -> dict[str, float | None]:
    values = [score[metric] for score in scores]
    return {metric: statistics.mean(values), f"{metric}, +-": statistics.stdev(values) if len(values) > 1 else None}


def main() -> None:
    """Runs the comparison and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one architecture, one seed, two amounts of data")
    options = parser.parse_args()
    began, seeds = time.perf_counter(), range(1 if options.quick else 3)
    results = {
        "command": f"make bench-accuracy{' QUICK=1' if options.quick else ''}",
        "points": 32 if options.quick else 64,
        "steps": STEPS,
        "seeds": len(seeds),
        "machine": machine([{"device": jax.default_backend(), "jax": jax.__version__}]),
        "rows": printed(rows(options.quick, seeds)),
        "minutes": (time.perf_counter() - began) / 60,
    }
    (RESULTS / "accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
    write_page()


if __name__ == "__main__":
    main()
