"""What a job costs beside its computing.

    python -m benchmarks.jobs [--database URL] [--jobs 10000]

The ledger: jobs are accepted one after another, listed in pages, and claimed and finished one after another until none
is left. Without a URL the database is SQLite in a temporary folder; one that is named must be empty.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from equifield_service.domain.jobs import Ledger, Order, Piece, file_of, new_id

PAGE = 100
LEASE_S = 3600.0


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


def told(what: str, spent: list[float]) -> None:
    """One line about many calls."""
    worst = statistics.quantiles(spent, n=100)[98]
    print(f"{what:<40} {statistics.median(spent):8.2f} ms median, {worst:8.2f} ms 99th percentile")


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


async def ledger_costs(url: str, jobs: int) -> None:
    """Prints what the ledger takes for each thing that is asked of it."""
    ledger = await Ledger(url, keep_s=LEASE_S).start()

    async def work() -> None:
        job = await ledger.claim("benchmark", LEASE_S)
        if job is not None:
            await ledger.finish(job, Piece(file_of(job.id, "result"), 1, "0" * 64))

    told("accept", await timed(jobs, lambda: ledger.accept(order())))
    told(f"a page of {PAGE} of {jobs}", await pages(ledger))
    told("counts", await timed(10, ledger.counts))
    spent = await timed(jobs, work)
    told("claim and finish, the first tenth", spent[: jobs // 10])
    told("claim and finish, the last tenth", spent[-jobs // 10 :])
    await ledger.close()


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="the URL of an empty database")
    parser.add_argument("--jobs", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(ledger_costs(arguments.database or f"sqlite:///{folder}/jobs.sqlite", arguments.jobs))


if __name__ == "__main__":
    main()
