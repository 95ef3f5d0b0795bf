"""The payload processes that are there: handed out one file at a time, replaced when they die."""

import asyncio
import logging
from collections.abc import Callable

from ..channel import Child, ChildDied
from ..logs import LogOptions
from . import process
from .values import Limits

logger = logging.getLogger(__name__)

START_SECONDS = 120.0
RESTART_DELAYS = (0.0, 0.1, 0.5, 2.0, 5.0)


class Crew:
    """A fixed number of payload processes.

    Args:
        processes: How many.
        arena_bytes: Shared memory per process and direction.
        limits: What a file may ask of the process that opens it.
        seconds_per_file: After this long a process ends itself, should the gateway not have ended it.
        replaced: Called whenever a process is replaced.
        log: How the processes log.
    """

    def __init__(
        self,
        processes: int,
        arena_bytes: int,
        limits: Limits,
        seconds_per_file: float,
        replaced: Callable[[], None],
        log: LogOptions,
    ):
        self._replaced = replaced
        self._processes, self._arena_bytes = processes, arena_bytes
        self._limits, self._seconds_per_file, self._log = limits, seconds_per_file, log
        self._files: dict[Child, int] = {}  # how many each process has worked on
        self._idle: asyncio.Queue[Child] = asyncio.Queue()
        self._replacing: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Starts the processes and waits until all of them are ready.

        Raises:
            ChildDied, ChildTimeout: One of them did not start; the others are ended.
        """
        self._closing = False
        try:
            started = await asyncio.gather(*(self._add() for _ in range(self._processes)), return_exceptions=True)
            failures = [failure for failure in started if failure is not None]
            if failures:
                raise failures[0]
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends all processes, be they started or given up meanwhile, and frees their shared memory."""
        self._closing = True
        while self._files or self._replacing:
            for child in list(self._files):
                self._begin_restart(child)
            await asyncio.wait(self._replacing)
        self._idle = asyncio.Queue()

    @property
    def pids(self) -> list[int]:
        """The processes that are there now, busy ones included."""
        return [child.process.pid for child in self._files if child.process.pid is not None]

    @property
    def alive(self) -> int:
        """How many processes can take a file, now or when they have finished the one they have."""
        return sum(child.running for child in self._files)

    async def acquire(self) -> Child:
        """A process that lives and has nothing to do; give it back to `release` or `replace`."""
        while True:
            child = await self._idle.get()
            if child.alive:
                return child
            self.replace(child)

    def release(self, child: Child) -> None:
        """Takes a process back that has done its file; it may have been its last one."""
        if child not in self._files:  # all were ended meanwhile
            return
        self._files[child] += 1
        if self._files[child] >= self._limits.files_per_process:
            self.replace(child)
        else:
            self._idle.put_nowait(child)

    def replace(self, child: Child) -> None:
        """Ends a process and starts another one, in the background."""
        if child in self._files:
            self._replaced()
            self._begin_restart(child)

    def _begin_restart(self, child: Child) -> None:
        del self._files[child]
        task = asyncio.create_task(self._restart(child))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _restart(self, child: Child) -> None:
        await child.kill()
        tries = 0
        while not self._closing:
            try:
                await self._add()
                return
            except Exception as error:  # whatever it is, the crew must not become smaller
                delay = RESTART_DELAYS[min(tries, len(RESTART_DELAYS) - 1)]
                logger.error("a payload process did not start, next try in %g s: %r", delay, error)
                await asyncio.sleep(delay)
                tries += 1

    async def _add(self) -> None:
        try:
            child = await Child.start(
                process.clean_parent(),
                process.main,
                (self._limits, self._seconds_per_file, self._log),
                name="equifield-payload",
                arena_bytes=self._arena_bytes,
                timeout=START_SECONDS,
            )
        except ChildDied:
            process.clean_parent.cache_clear()  # it may be gone itself; the next try starts another one then
            raise
        self._files[child] = 0
        self._idle.put_nowait(child)
