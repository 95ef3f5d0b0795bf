"""What the processes do that the tests start. Each story forks its processes once everything is imported.

python -m tests.service.jobs.stories STORY URL ...
"""

import asyncio
import functools
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator

from sqlalchemy import Engine, event

from equifield_service.domain.jobs import Ledger, Spool, file_of, new_id
from equifield_service.domain.jobs.database import Database
from tests.service.jobs.running import LONG_S, order, piece, tell


def die(*_: object) -> None:
    """Ends this process as no handler can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def say(*words: str) -> None:
    """One line, whole, whatever the other processes write."""
    os.write(1, (" ".join(words) + "\n").encode())


def fork(story: Callable[[], None]) -> int:
    """A process that does this and no more."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        story()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def claim(url: str, processes: str) -> None:
    """Several claim and finish whatever is in the queue; they go on when each has its first."""
    everybody, here = os.pipe()

    async def drain(ledger: Ledger) -> None:
        me = str(os.getpid())
        while found := await ledger.claim(me, LONG_S):
            wait()
            for job in found:
                await ledger.finish(job, piece(job.id, "result"))
                say(me, job.id)

    @functools.cache
    def wait() -> None:
        os.close(here)
        os.read(everybody, 1)  # until the last one is here

    children = [fork(lambda: tell(url, drain)) for _ in range(int(processes))]
    os.close(here)
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("one of those that claim failed")


def hold(url: str, lease_s: str) -> None:
    """One claims a job and is killed with it."""

    async def take(ledger: Ledger) -> None:
        for job in await ledger.claim("killed", float(lease_s)):
            say(job.id)
            die()

    if os.waitpid(fork(lambda: tell(url, take)), 0)[1] != signal.SIGKILL:
        sys.exit("it was not killed")


def accept(url: str, folder: str) -> None:
    """One is killed at each step of accepting a job."""

    def chunks(killed: str) -> Iterator[bytes]:
        yield b"wh"
        if killed == "within the file":
            die()
        yield b"ole"

    def submit(killed: str) -> None:
        async def enter(ledger: Ledger) -> None:
            id = new_id()
            kept = Spool(folder).start().put(file_of(id, "input"), chunks(killed))
            if killed == "before the row":
                die()
            if killed == "before the commit":
                event.listen(Engine, "commit", die)
            await ledger.accept(order(id=id, input=kept, parameters={"killed": killed}))
            die()

        tell(url, enter)

    for killed in ("within the file", "before the row", "before the commit", "after the commit"):
        child = fork(lambda killed=killed: submit(killed))  # type: ignore[misc]
        if os.waitpid(child, 0)[1] != signal.SIGKILL:
            sys.exit(f"it was not killed {killed}")


def start(url: str, processes: str) -> None:
    """Several start a ledger at the same moment."""

    async def nothing(ledger: Ledger) -> None:
        await ledger.counts()

    ready, go = os.pipe()

    def begin() -> None:
        os.close(go)
        os.read(ready, 1)  # until the last one is there
        tell(url, nothing)

    children = [fork(begin) for _ in range(int(processes))]
    os.close(go)
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("one of those that start failed")


def touch(folder: str, files: str) -> None:
    """Eight make their first transaction in each of several new files at the same moment."""
    together = multiprocessing.get_context("fork").Barrier(8)

    async def begin() -> None:
        for number in range(int(files)):
            database = Database(f"sqlite:///{folder}/{number}.sqlite", LONG_S)
            together.wait(30)
            await database.write(lambda connection: None)
            await database.close()

    children = [fork(lambda: asyncio.run(begin())) for _ in range(together.parties)]
    if any([os.waitpid(child, 0)[1] for child in children]):
        sys.exit("one of those that touch a new file failed")


STORIES: dict[str, Callable[..., None]] = {
    "claim": claim,
    "hold": hold,
    "accept": accept,
    "start": start,
    "touch": touch,
}


def main() -> None:
    """Tells a story for each line that names one, and ends what it says with a line `done`, or `failed`."""
    for line in sys.stdin:
        name, *arguments = line.split()
        child = fork(lambda name=name, arguments=arguments: STORIES[name](*arguments))  # type: ignore[misc]
        say("failed" if os.waitpid(child, 0)[1] else "done")


if __name__ == "__main__":
    main()
