"""Compares our service with LitServe, BentoML, Ray Serve and MLServer, all serving one function.

    make bench-service            about a quarter of an hour on two cores
    make bench-service QUICK=1    below 3 minutes

Prints tables, and writes them with a description of the machine to `benchmarks/results/service.json` and into
`docs/benchmarks.md`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import jax

from benchmarks.report import RESULTS, machine, printed, shown, table, write_page
from benchmarks.serving import package
from benchmarks.serving.servers import ROOT, Refused, Server, memory, processor_seconds, servers

CONNECTIONS = (1, 8, 32, 128)
CEILING_S = 1.5

Row = dict[str, Any]
Figures = dict[tuple[str, str, int], list[dict[str, float]]]


class Ceiling:
    """The process that measures the function alone. It does nothing while nobody asks."""

    def __enter__(self) -> "Ceiling":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.ceiling"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.measure()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def measure(self) -> float:
        """Samples per second of full batches."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has pipes")
        self._process.stdin.write(f"{CEILING_S}\n")
        self._process.stdin.flush()
        return float(json.loads(self._process.stdout.readline()))


def measured(
    listed: list[Server], connections: tuple[int, ...], seconds: float, rounds: int, log: Path
) -> tuple[Figures, dict[str, list[float]]]:
    """The figures of every server, body and number of connections, by round; and the memory of every server."""
    figures: Figures = defaultdict(list)
    memories: dict[str, list[float]] = defaultdict(list)
    with Ceiling() as ceiling:
        for _ in range(rounds):
            for server in listed:
                try:
                    found, taken = _one(server, connections, seconds, ceiling, log)
                except Refused as refusal:
                    print(refusal, flush=True)
                    continue
                memories[server.name].append(taken)
                for key, point in found.items():
                    figures[key].append(point)
    return figures, memories


def _one(
    server: Server, connections: tuple[int, ...], seconds: float, ceiling: Ceiling, log: Path
) -> tuple[dict[tuple[str, str, int], dict[str, float]], float]:
    """One server between two readings of the ceiling."""
    found: dict[tuple[str, str, int], dict[str, float]] = {}
    before = ceiling.measure()
    with server.running(log) as (port, mark):
        for kind, body in server.bodies.items():
            for number in body.only or connections:
                taken = processor_seconds(mark)
                point = _loaded(port, number, seconds, body.request(port))
                taken = processor_seconds(mark) - taken
                point["CPU, ms"] = 1e3 * taken / max(1, point.pop("answers"))
                found[server.name, kind, number] = point
                print(server.name, kind, number, {name: shown(value) for name, value in point.items()}, flush=True)
        held = memory(mark)
    level = (before + ceiling.measure()) / 2
    for point in found.values():
        point["share of ceiling"], point["ceiling"] = point["requests/s"] / level, level
    return found, held


def _loaded(port: int, connections: int, seconds: float, request: bytes) -> dict[str, float]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(request)
        file.flush()
        command = [
            sys.executable,
            "-m",
            "benchmarks.serving.load",
            str(port),
            str(connections),
            str(seconds),
            file.name,
        ]
        answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=seconds + 120)
    figures: dict[str, float] = json.loads(answer.stdout)
    return figures


def rows(figures: Figures, memories: dict[str, list[float]]) -> Iterator[Row]:
    """Medians over the rounds."""
    for (name, kind, connections), points in sorted(
        figures.items(), key=lambda item: (item[0][2], item[0][1] != "raw")
    ):
        row: Row = {"connections": connections, "server": name, "body": kind}
        for figure in ("requests/s", "p50, ms", "p99, ms", "CPU, ms", "share of ceiling", "ceiling"):
            values = [point[figure] for point in points if point[figure] is not None]
            row[figure] = statistics.median(values) if values else None
        row["errors"] = sum(int(point["errors"]) for point in points)
        yield {**row, "MB": statistics.median(memories[name])}


def main() -> None:
    """Runs the comparison and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for peer in ("litserve", "bentoml", "ray", "mlserver"):
        parser.add_argument(f"--{peer}", help=f"the Python in whose environment {peer} is; left out without")
    parser.add_argument("--quick", action="store_true", help="one short round; writes nothing")
    options = parser.parse_args()
    began = time.perf_counter()
    connections, seconds, rounds = ((1, 32), 2.0, 1) if options.quick else (CONNECTIONS, 6.0, 3)
    with tempfile.TemporaryDirectory() as folder:
        package.publish(Path(folder))
        log = Path(tempfile.gettempdir()) / "bench-service.log"
        listed = servers(vars(options), Path(folder))
        figures, memories = measured(listed, connections, seconds, rounds, log)
    results: dict[str, Any] = {
        "command": "make bench-service",
        "machine": machine([{"jax": jax.__version__}]),
        "minutes": (time.perf_counter() - began) / 60,
        "rows": printed(rows(figures, memories)),
    }
    print(table(results["rows"]))
    if not options.quick:
        (RESULTS / "service.json").write_text(json.dumps(results, indent=1) + "\n")
        write_page()


if __name__ == "__main__":
    main()
