"""Compares folded networks and layers with ginjax 0.1.8, with escnn 1.0.11 and with plain convolutional networks.

    make bench-engine            about a quarter of an hour on two cores
    make bench-engine QUICK=1    about 2 minutes
    make bench-engine-gpu        the same on a GPU

Prints tables, and writes them with a description of the machine to `benchmarks/results/engine.json` and
`docs/benchmarks.md`, those of a GPU to `benchmarks/results/engine-gpu.json`.
"""

import argparse
import contextlib
import json
import sys
import time
from typing import Any

from benchmarks import cases, compare
from benchmarks.report import RESULTS, machine, page, printed, write_page
from benchmarks.sides import Side


def compared(device: str, quick: bool, pythons: dict[str, str]) -> dict[str, Any]:
    """All comparisons. **Raises** `ValueError` when a side does not see the GPU that it shall run on."""
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        sides = {name: stack.enter_context(Side(name, python, device)) for name, python in pythons.items()}
        about = {name: side.ask(about="") for name, side in sides.items()}
        if blind := [name for name in about if device == "gpu" and about[name]["device"] == "cpu"]:
            raise ValueError(f"No GPU is seen by {', '.join(blind)}. Install a JAX and a PyTorch that do.")
        ours = sides.pop("equifield")
        results: dict[str, Any] = {
            "command": "make bench-engine" + ("-gpu" if device == "gpu" else ""),
            "machine": machine(about.values()),
            "builds": printed(compare.builds(cases.builds(quick), ours, sides)),
            "layers": printed(compare.layers(cases.layers(quick), ours, sides)),
            "precisions": printed(compare.precisions(cases.precisions(device, quick), ours)),
            "networks": printed(compare.networks(cases.networks(quick), ours, sides)),
        }
    return results | {"minutes": (time.perf_counter() - start) / 60}


def main() -> None:
    """Runs the comparisons and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for peer, release in (("ginjax", "0.1.8"), ("escnn", "1.0.11")):
        parser.add_argument(f"--{peer}", help=f"the Python in whose environment {peer} {release} is; left out without")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="one network and two layers; writes nothing")
    options = parser.parse_args()
    pythons = {"ginjax": options.ginjax, "escnn": options.escnn, "equifield": sys.executable}
    given = {name: python for name, python in pythons.items() if python}
    results = compared(options.device, options.quick, given)
    print(page(results))
    if options.quick:
        return
    RESULTS.mkdir(exist_ok=True)
    name = "engine.json" if options.device == "cpu" else "engine-gpu.json"
    (RESULTS / name).write_text(json.dumps(results, indent=1) + "\n")
    if options.device == "cpu":
        write_page()


if __name__ == "__main__":
    main()
