"""The figures as text."""

import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.compare import Row

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

Made by `{command}` in {minutes:.0f} minutes on: {where}. Other programs may have used the machine, so what is compared
runs in turn, call by call, and every figure is a median over rounds: of the ratios, or of the times. Single precision;
a dash stands for what was not measured.
"""
SERVICE = """## Service

Made by `{command}` in {minutes:.0f} minutes on: {where}. Every server serves the same function, three periodic
convolutions (3, 16, 16 and 3 features, 64 x 64 points), compiled by JAX, in one worker, with batches of at most 8 that
wait no longer than 2 ms where that can be said; each in an environment of its own, set up as its documentation
recommends. One closed loop sends the same request over and over on every connection, from the cores on which the server
runs. A raw body is 49,152 bytes of float32 (MLServer's REST has no raw bodies: Base64 in JSON). Servers run in turn,
medians over rounds. `share of ceiling` is against the function alone on full batches, measured before and after each
server; `CPU` is the processor time of all processes of a server per request, the function's included, which other
programs on the machine change least; `MB` is their memory together.
"""
JOBS = """## Jobs

Made by `{command}` in {minutes:.1f} minutes on: {where}. Jobs of {model}
on 64 x 64 points, in turn with what they are compared with; medians over rounds, `spread` is from the first to the
third quartile. Alone, a job takes from handing it in until its last event. In a stream, connections hand in one file
over and over, each as soon as it has its answer, and the time until the last job has ended is divided among all. What a
job takes beyond a prediction of the same file is what it costs to be kept: two files and three commits on the disk, and
being read before it is accepted. Processor time is that of all processes of the service, the model's included.
"""
ACCURACY = """## Accuracy

Made by `{command}` in {minutes:.0f} minutes on: {where}. Forecasts of decaying two-dimensional turbulence on
{points} x {points} points: the errors (SMSE, in units of the variance of a component) of the next state, of the next
state of data that are turned, and of {steps} states in a row, on 16 trajectories that no network has seen. `plain` is
unconstrained, `small` is equivariant with as many features in every layer, `large` with as many parameters. All are
trained with the same recipe and the same number of updates, with so many seeds: {seeds}. `+-` is their spread.
"""
TEXTS = {
    "networks": """\
ginjax's networks with the same weights here, folded and compiled as they are served; `twin` is the same
architecture without any symmetry and with as many features in every layer. `work` is what the programs work in beside
input, output and weights; `memory` is all of it. escnn's network has as many convolutions and activations between the
same fields, as irreps of the same group, but norm nonlinearities where ginjax has vector neurons, and weights of its
own: its outputs are not compared. Its convolutions are PyTorch's, in evaluation mode. It has no UNet, and no pointwise
activation for scalars in three dimensions.
""",
    "layers": """\
One convolution of 3 pixels a side, as it is folded by default, and in both forms, against an ordinary
one with as many features, and against escnn's.
""",
    "builds": """\
A network built by a new process: here with folding, in ginjax with its filters. What XLA's compiler takes of it is for
many small programs, which a second run can find in JAX's cache.
""",
    "precisions": """\
The widest layer, folded, in every precision of `compile_model`, and what share that is of the
speed of a plain product of square matrices. Operations are counted by XLA before it optimises.
""",
}


def shown(value: Any) -> str:
    """A figure with as many digits as it is worth."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " to ".join(map(shown, value))
    if not isinstance(value, float):
        return str(value)
    return f"{value:.1e}" if value < 1e-3 else f"{value:.3g}"


def printed(rows: Iterable[Row]) -> list[Row]:
    """All rows, each printed as soon as it is there."""
    found = []
    for row in rows:
        print("  ".join(f"{name} {shown(value)}" for name, value in row.items()), flush=True)
        found.append(row)
    return found


def machine(sides: Iterable[dict[str, str]]) -> dict[str, str]:
    """What a reader must know of where the figures come from, with what each side says about itself."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    known = {"processor": model, "cores": str(len(os.sched_getaffinity(0))), "python": platform.python_version()}
    for side in sides:
        known = side | known
    return known


def page(results: dict[str, Any]) -> str:
    """The figures as a page of the documentation."""
    where = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    parts = [HEAD.format(where=where, command=results["command"], minutes=results["minutes"])]
    for title, text in TEXTS.items():
        if rows := results[title]:
            parts += [f"## {title.capitalize()}\n", text, table(rows)]
    return "\n".join(parts)


def write_page() -> None:
    """Writes the page from whatever results there are."""
    parts = [page(json.loads((RESULTS / "engine.json").read_text()))]
    for name, text in {"service": SERVICE, "jobs": JOBS, "accuracy": ACCURACY}.items():
        if (file := RESULTS / f"{name}.json").exists():
            results = json.loads(file.read_text())
            where = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
            head = text.format(**{**results, "where": where})
            parts += [head, table(results["rows"])]
    PAGE.write_text("\n".join(parts))


def table(rows: list[Row]) -> str:
    """Rows of the same figures in Markdown."""
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    lines = [names, ["---"] * len(names), *[[shown(row[name]) for name in names] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
