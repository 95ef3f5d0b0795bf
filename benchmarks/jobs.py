"""What a job costs beside its computing.

    make bench-jobs            some minutes on two cores
    make bench-jobs QUICK=1    below a minute; writes nothing

The service: a rollout as a job against the same programs called in this process; the same job with 200 listeners to its
events and without; and jobs of one step against predictions of the same file, in a stream on eight connections until
the last has ended, and alone, from handing it in until its last event. All in turn, within one run.

The ledger: jobs are accepted one after another, listed in pages, and claimed and finished one after another until none
is left. Without `--database URL` it is SQLite in a temporary folder; a database that is named must be empty.

Prints a table, and writes it with a description of the machine to `benchmarks/results/jobs.json` and into
`docs/benchmarks.md`.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import jax

from benchmarks.compare import Row
from benchmarks.jobs_service import CONNECTIONS, LISTENERS, STEPS, Service, running
from benchmarks.report import RESULTS, machine, printed, table, write_page
from benchmarks.serving.servers import processor_seconds
from equifield_service.domain.jobs import Ledger, Order, Piece, file_of, new_id

PAGE = 100
LEASE_S = 3600.0
PREDICTION = "a prediction"


def row(
    case: str, against: str, ours: list[float], theirs: list[float], target: float | None, metric: str = "time"
) -> Row:
    """Medians in milliseconds, and the ratios of those that were timed one after the other."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    found: Row = {"case": case, "against": against, "metric": metric, "ours": 1e3 * statistics.median(ours)}
    found |= {"theirs": 1e3 * statistics.median(theirs), "unit": "ms", **_summary("ratio", ratios, target)}
    return found


def difference(case: str, ours: list[float], theirs: list[float], target: float) -> Row:
    """What one takes beyond the other, in milliseconds."""
    beyond = [1e3 * (one - other) for one, other in zip(ours, theirs, strict=True)]
    found: Row = {"case": case, "against": PREDICTION, "metric": "time beyond it", **_summary("ours", beyond, target)}
    return found | {"theirs": None, "unit": "ms", "ratio": None}


def _summary(name: str, values: list[float], target: float | None) -> Row:
    middle = statistics.median(values)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {name: middle, "spread": [low, high], "target": target, "met": None if target is None else middle <= target}


def order() -> Order:
    """A job like others."""
    id = new_id()
    parameters = {"steps": 1000, "every": 10, "boundary": "periodic"}
    return Order(id, "weather", "1", Piece(file_of(id, "input"), 1, "0" * 64), "digest", "ann", id, 0, parameters)


async def timed(count: int, call: Callable[[], Awaitable[Any]]) -> list[float]:
    """Milliseconds of each of so many calls."""
    spent = []
    for _ in range(count):
        begun = time.perf_counter()
        await call()
        spent.append(1000 * (time.perf_counter() - begun))
    return spent


async def pages(ledger: Ledger) -> list[float]:
    """Milliseconds of each page, from the newest job to the oldest."""
    spent, cursor = [], None
    while True:
        begun = time.perf_counter()
        page = await ledger.page(limit=PAGE, cursor=cursor, owner="ann")
        spent.append(1000 * (time.perf_counter() - begun))
        cursor = page.next
        if cursor is None:
            return spent


async def ledger_rows(url: str, jobs: int) -> list[Row]:
    """What the ledger takes for each thing that is asked of it."""
    ledger = await Ledger(url, keep_s=LEASE_S).start()

    async def work() -> None:
        for job in await ledger.claim("benchmark", LEASE_S):
            await ledger.finish(job, Piece(file_of(job.id, "result"), 1, "0" * 64))

    accepted = await timed(jobs, lambda: ledger.accept(order()))
    listed = await pages(ledger)
    worked = await timed(jobs, work)
    await ledger.close()
    tenth = max(1, jobs // 10)
    kinds = {
        "the ledger: accept": (accepted, None),
        f"the ledger: a page of {PAGE} of {jobs} jobs": (listed, 50.0),
        "the ledger: claim and finish, the first tenth": (worked[:tenth], None),
        "the ledger: claim and finish, the last tenth": (worked[-tenth:], None),
    }
    blank = {"theirs": None, "unit": "ms", "ratio": None}
    return [
        {"case": case, "against": None, "metric": "time", **_summary("ours", spent, target), **blank}
        for case, (spent, target) in kinds.items()
    ]


def service_rows(store: Path, model: str, rounds: int, count: int) -> list[Row]:
    """What a job takes beside its computing."""
    versions = sorted((store / model).iterdir(), key=lambda path: int(path.name))
    with (
        tempfile.TemporaryDirectory() as folder,
        running(store, folder) as url,
        httpx.Client(base_url=url, timeout=600) as http,
    ):
        service, mark = Service(http, versions[-1]), f"EQUIFIELD_JOBS={folder}"
        taken: list[float] = []

        def counted(call: Callable[[int], float]) -> float:
            before, seconds = processor_seconds(mark), call(count)
            taken.append((processor_seconds(mark) - before) / count)
            return seconds

        kinds: list[Callable[[], float]] = [
            lambda: counted(service.predictions),
            lambda: counted(service.stream),
            lambda: statistics.median(service.predict() for _ in range(count // 5)),
            lambda: statistics.median(service.alone() for _ in range(count // 5)),
            service.direct,
            service.job,
            service.followed,
        ]
        for call in kinds:
            call()  # compiles what is not compiled yet
        taken.clear()
        every = [[call() for call in kinds] for _ in range(rounds)]
    answered, streamed, predicted, alone, direct, rolled, followed = map(list, zip(*every, strict=True))
    stream, by_itself = f"a job of one step, {CONNECTIONS} connections", "a job of one step, alone"
    return [
        row(stream, PREDICTION, streamed, answered, None),
        difference(stream, streamed, answered, 5.0),
        row(stream, PREDICTION, taken[1::2], taken[::2], None, "processor time"),
        row(by_itself, PREDICTION, alone, predicted, None),
        difference(by_itself, alone, predicted, 5.0),
        row(f"a rollout of {STEPS} steps", "called directly", rolled, direct, 1.10),
        row(f"the same with {LISTENERS} listeners", "without", followed, rolled, 1.05),
    ]


def main() -> None:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="the URL of an empty database")
    parser.add_argument("--store", type=Path, default=Path("models_store"))
    parser.add_argument("--model", default="turbulence-2d")
    parser.add_argument("--quick", action="store_true", help="two short rounds; writes nothing")
    arguments = parser.parse_args()
    began = time.perf_counter()
    rounds, count, jobs = (2, 50, 500) if arguments.quick else (3, 100, 10_000)
    rows = service_rows(arguments.store, arguments.model, rounds, count)
    with tempfile.TemporaryDirectory() as folder:
        rows += asyncio.run(ledger_rows(arguments.database or f"sqlite:///{folder}/jobs.sqlite", jobs))
    results: dict[str, Any] = {
        "command": "make bench-jobs",
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
        "machine": machine([{"jax": jax.__version__}]),
        "model": arguments.model,
        "minutes": (time.perf_counter() - began) / 60,
        "rows": printed(rows),
    }
    print(table(results["rows"]))
    if not arguments.quick:
        (RESULTS / "jobs.json").write_text(json.dumps(results, indent=1) + "\n")
        write_page()


if __name__ == "__main__":
    main()
