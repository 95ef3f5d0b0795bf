"""Compares folded networks and layers with ginjax 0.1.8 and with plain convolutional networks.

    make bench-engine            about 25 minutes on two cores
    make bench-engine QUICK=1    about 2 minutes

Prints tables, and writes them with a description of the machine to `benchmarks/results/engine.json` and
`docs/benchmarks.md`. What is compared runs in turn, call by call; a figure is the median of the ratios.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from equifield.interop.ginjax import from_blocks

HERE = Path(__file__).parent
NETWORK = {"group": "B2", "kernel_size": 3, "filter_orders": [0, 1, 2], "filter_parities": [0, 1], "use_bias": "auto"}
FLUID = {"in_type": "2x scalar + 1x vector", "out_type": "2x scalar + 1x vector"}
SIZES: dict[str, dict[str, Any]] = {
    "ResNet": {"activation": "gelu", "num_blocks": 8, "num_conv": 2, "preactivation_order": True},
    "DilResNet": {"activation": "relu", "num_blocks": 4},
    "UNet": {"activation": "gelu", "num_downsamples": 3, "num_conv": 2},
}
SECONDS, LEAST = 4.0, 5
"""How long one comparison goes on, and how many rounds it takes at least."""


def network(architecture: str, channels: int, side: int, batch: int = 1) -> dict[str, Any]:
    """A network of ginjax with so many scalars and vectors in every layer, and without normalisation."""
    hidden = f"{channels}x scalar + {channels}x vector"
    config = {"architecture": architecture, **NETWORK, **FLUID, **SIZES[architecture], "hidden": hidden}
    return {"config": config | {"use_group_norm": False}, "grid": [side, side], "batch": batch}


def layer(group: str, orders: int, channels: int, side: int, batch: int = 1) -> dict[str, Any]:
    """One convolution between as many fields of every order up to the highest."""
    names = ("scalar", "vector", "tensor(2)")[: orders + 1]
    hidden = " + ".join(f"{channels}x {name}" for name in names)
    return {"group": group, "hidden": hidden, "grid": [side] * int(group[-1]), "batch": batch}


def networks(quick: bool) -> Iterator[dict[str, Any]]:
    """The networks that are compared."""
    if quick:
        yield network("ResNet", 16, 64)
        return
    yield from (network("ResNet", channels, 64) for channels in (8, 16, 48))
    yield from (network("DilResNet", channels, 64) for channels in (20, 48))
    yield network("UNet", 20, 64)
    yield network("ResNet", 16, 128)
    yield network("ResNet", 16, 64, batch=8)


def layers(quick: bool) -> Iterator[dict[str, Any]]:
    """The layers that are compared."""
    for channels in (8, 48) if quick else (8, 16, 32, 48, 96):
        yield layer("B2", 1, channels, 64)
        if not quick:
            yield layer("B2", 1, channels, 128)
            yield layer("B2", 1, channels, 64, batch=8)
            yield layer("B2", 2, channels, 64) if channels <= 48 else layer("B3", 1, 48, 32)
            yield layer("B3", 1, channels, 16)


@dataclass
class Side:
    """A worker process."""

    name: str
    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls, name: str, python: str) -> "Side":
        """Starts the worker of a side."""
        command = [python, str(HERE / "worker.py"), name]
        environment = os.environ | {"MPLBACKEND": "Agg", "WANDB_MODE": "disabled", "JAX_PLATFORMS": "cpu"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return cls(name, process)

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to a question. **Raises** `RuntimeError` when the worker has died."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError(f"The worker {self.name} has no pipes.")
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The worker {self.name} has died on {question}.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def in_turn(calls: list[tuple[Side, str]]) -> dict[str, list[float]]:
    """The seconds of each program, one call of each per round."""
    seconds: dict[str, list[float]] = {f"{side.name} {name}": [] for side, name in calls}
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS or len(next(iter(seconds.values()))) < LEAST:
        for side, name in calls:
            seconds[f"{side.name} {name}"].append(side.ask(time=name)["seconds"])
    return seconds


def ratio(seconds: dict[str, list[float]], slow: str, fast: str) -> float:
    """The median over the rounds of the time of one program relative to that of another."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


def compare_networks(cases: list[dict[str, Any]], peer: Side, ours: Side) -> list[dict[str, Any]]:
    """Every network of ginjax against the same one here, with the same weights, and against its plain twin."""
    rows = []
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            theirs, here = (side.ask(build=case, folder=folder) for side in (peer, ours))
            error = largest_difference(
                peer.ask(output="forward", folder=folder), ours.ask(output="forward", folder=folder)
            )
        forward = in_turn([(peer, "forward"), (ours, "forward"), (ours, "twin")])
        step = in_turn([(peer, "step"), (ours, "step"), (ours, "twin step")])
        config = case["config"]
        row = {
            "network": config["architecture"],
            "hidden": config["hidden"],
            "grid": "x".join(map(str, case["grid"])),
            "batch": case["batch"],
            "relative difference": error,
            "milliseconds": 1e3 * statistics.median(forward["equifield forward"]),
            "ginjax / folded": ratio(forward, "ginjax forward", "equifield forward"),
            "folded / twin": ratio(forward, "equifield forward", "equifield twin"),
            "ginjax step / step": ratio(step, "ginjax step", "equifield step"),
            "step / twin step": ratio(step, "equifield step", "equifield twin step"),
            "memory / ginjax": here["forward"]["temp_bytes"] / theirs["forward"]["temp_bytes"],
            "build and fold, s": here["build_s"],
            "ginjax build, s": theirs["build_s"],
        }
        rows.append(report(row))
    return rows


def compare_layers(cases: list[dict[str, Any]], ours: Side) -> list[dict[str, Any]]:
    """Both forms of a convolution, and the one that is chosen, against an ordinary one with as many features."""
    rows = []
    for case in cases:
        ours.ask(build=case, folder="")
        seconds = in_turn([(ours, name) for name in ("twin", "dense", "basis-first", "forward")])
        row = {
            "fields": case["hidden"],
            "group": case["group"],
            "grid": "x".join(map(str, case["grid"])),
            "batch": case["batch"],
            "twin, ms": 1e3 * statistics.median(seconds["equifield twin"]),
            "dense / twin": ratio(seconds, "equifield dense", "equifield twin"),
            "basis-first / twin": ratio(seconds, "equifield basis-first", "equifield twin"),
            "folded / twin": ratio(seconds, "equifield forward", "equifield twin"),
        }
        rows.append(report(row))
    return rows


def report(row: dict[str, Any]) -> dict[str, Any]:
    """Prints a row as soon as it is there."""
    print("  ".join(f"{name} {shown(value)}" for name, value in row.items()), flush=True)
    return row


def shown(value: Any) -> str:
    """A figure with as many digits as it is worth."""
    return (
        f"{value:.1e}"
        if isinstance(value, float) and value < 1e-3
        else f"{value:.3g}"
        if isinstance(value, float)
        else str(value)
    )


def largest_difference(theirs: dict[str, Any], ours: dict[str, Any]) -> float:
    """||f - g|| / ||f|| of two outputs of scalars and vectors."""
    with np.load(theirs["path"]) as file:
        blocks = {(0, 0): file["0"], (1, 0): file["1"]}
    expected = np.asarray(from_blocks(blocks, (True, True)).array)
    with np.load(ours["path"]) as file:
        return float(np.linalg.norm(file["0"] - expected) / np.linalg.norm(expected))


def machine() -> dict[str, str]:
    """What a reader must know of where the figures come from."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "jax": version("jax"),
        "equifield": version("equifield"),
        "ginjax": "0.1.8",
    }


def page(results: dict[str, Any]) -> str:
    """The figures as a page of the documentation."""
    where = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    parts = [HEAD.format(where=where, command=results["command"])]
    for title, text, rows in (("Networks", NETWORKS, results["networks"]), ("Layers", LAYERS, results["layers"])):
        names = list(rows[0])
        lines = [names, ["---"] * len(names), *[[shown(row[name]) for name in names] for row in rows]]
        parts += [f"## {title}\n", text, "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"]
    return "\n".join(parts)


HEAD = """# Benchmarks

Made by `{command}` on: {where}. Other programs may have used the machine, so what is compared runs in turn, call by
call, and every figure is a median over rounds: of the ratios, or of the times. Single precision.
"""
NETWORKS = """ginjax's networks with the same weights here, folded; `twin` is the same architecture without any symmetry
and with as many features in every layer. `memory` is what the programs work in beside input, output and weights.
"""
LAYERS = """One convolution of 3 pixels a side, as it is folded by default, and in both forms, against an ordinary
one with as many features.
"""


def main() -> None:
    """Runs the comparisons and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peers", required=True, help="the Python in whose environment ginjax 0.1.8 is installed")
    parser.add_argument("--quick", action="store_true", help="one network and two layers; writes nothing")
    options = parser.parse_args()
    ours, peer = Side.start("equifield", sys.executable), Side.start("ginjax", options.peers)
    results = {
        "command": "make bench-engine",
        "machine": machine(),
        "layers": compare_layers(list(layers(options.quick)), ours),
        "networks": compare_networks(list(networks(options.quick)), peer, ours),
    }
    if not options.quick:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "engine.json").write_text(json.dumps(results, indent=1) + "\n")
        (HERE.parent / "docs" / "benchmarks.md").write_text(page(results))


if __name__ == "__main__":
    main()
