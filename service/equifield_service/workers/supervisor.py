"""The gateway's side of the worker: starts it, loads the models, replaces it when it dies."""

import asyncio
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from .. import tracing
from ..arenas import ArenaFull, Arrays, Message
from ..channel import Child, ChildDied, ChildKilled, ChildTimeout, Reply
from ..domain.errors import DomainError, InflatedTooLarge, ModelUnavailable, WorkerFailed
from ..domain.registry import PackageRef
from ..metrics import Metrics
from ..scheduling import Array, BatchKey, NotPrepared, Predicted
from .options import WorkerOptions
from .process import main

logger = logging.getLogger(__name__)

ATTEMPTS = 2  # a batch, or a load, that kills two workers is at fault itself
KILLS = 10  # where somebody else killed the worker while it loaded a package, which may have taken all memory
SLOTS = 5  # two batches, a rollout, something in the background, and something there that nobody waits for any more
SHORT_LIFE_S = 5.0
LONGEST_PAUSE_S = 10.0


class LoadListener(Protocol):
    """Whoever wants to know what became of each package."""

    def loaded(self, package: PackageRef, reply: Message) -> None:
        """The package is loaded, warm and has passed its self-check."""

    def failed(self, package: PackageRef, reason: str) -> None:
        """The package cannot be served."""


@dataclass(frozen=True)
class WorkerLimits:
    """Shared memory and time that a worker gets."""

    arena_bytes: int
    start_timeout: float
    call_timeout: float
    batch_timeout: float


class Supervisor:
    """Keeps one worker process alive, and answers calls with whichever one is alive."""

    def __init__(
        self,
        options: WorkerOptions,
        limits: WorkerLimits,
        listener: LoadListener,
        metrics: Metrics,
        *,
        target: Callable[..., None] = main,
    ):
        self._options, self._limits = options, limits
        self._listener, self._metrics, self._target = listener, metrics, target
        self._packages: dict[tuple[str, str], PackageRef] = {}
        self._child: Child | None = None
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._background = asyncio.Lock()
        self._begun: set[asyncio.Task[Reply]] = set()

    def start(self, packages: Iterable[PackageRef]) -> None:
        """Begins to keep a worker with these packages alive; the listener hears how each of them fares."""
        self._packages = {(package.model, package.version): package for package in packages}
        self._keeper = asyncio.create_task(self._keep_alive(), name="supervisor")

    async def stop(self) -> None:
        """Ends the worker."""
        tasks = [*self._begun, *([self._keeper] if self._keeper is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def pid(self) -> int | None:
        """The process id of the worker, while there is one that serves."""
        return self._child.process.pid if self._child is not None and self._up.is_set() else None

    async def load(self, package: PackageRef) -> None:
        """Loads, warms and checks one more package beside those that are served; the listener hears how it fares."""
        try:
            reply, _ = await self._in_background(_load_message(package))
        except DomainError as error:
            self._give_up(package, error.detail)
        else:
            self._packages[package.model, package.version] = package
            self._welcome(package, reply)

    async def unload(self, package: PackageRef) -> None:
        """Serves a package no longer."""
        if self._packages.pop((package.model, package.version), None) is not None:
            await self._in_background({"operation": "unload", "model": package.model, "version": package.version})

    async def predict(self, key: BatchKey, batch: Array, seconds: float) -> Predicted:
        """One batch through the model; retried once when the worker dies.

        The worker ends a rollout by itself after so many seconds, and has the time of one batch more to do so.

        Raises:
            NotPrepared: the worker has no program for it.
        """
        began = time.perf_counter()
        operation, own_time = ("predict", 0.0) if key.steps is None else ("rollout", seconds)
        message = self._message(operation, key, seconds)
        reply, arrays = await self._call(message, [batch], own_time + self._limits.batch_timeout)
        if not reply["prepared"]:
            raise NotPrepared(str(key))
        took = reply["seconds"]
        self._metrics.device_seconds.labels(key.model).observe(took["device"])
        way = time.perf_counter() - began - took["all"]
        return Predicted(arrays[0], took["input"], took["device"], way)

    async def prepare(self, key: BatchKey, samples: int) -> None:
        """Compiles what so many samples need, and loads the model if it had to make room for others."""
        await self._in_background({**self._message("prepare", key), "samples": samples})

    async def check(self, key: BatchKey, samples: Array | None, seed: int) -> tuple[dict[str, Any], Array]:
        """The equivariance report on samples, or on random fields of a seed on the grid of `key`, and its residual."""
        message = {**self._message("check", key), "seed": seed}
        reply, (residual,) = await self._in_background(message, [] if samples is None else [samples])
        return dict(reply["report"]), residual

    def _message(self, operation: str, key: BatchKey, seconds: float = 0.0) -> Message:
        package = self._packages.get(key.package)
        if package is None:
            raise ModelUnavailable(f"Model {key.model}/{key.version} is not served any more.")
        return {
            "operation": operation,
            "model": key.model,
            "version": key.version,
            "path": str(package.path),
            "traceparent": tracing.traceparent(),
            "case": {
                "grid": list(key.grid),
                "boundary": list(key.boundary),
                "precision": key.precision,
                "symmetrize": key.symmetrize,
            },
            "course": None if key.steps is None else {"steps": key.steps, "every": key.every, "seconds": seconds},
        }

    async def _in_background(self, message: Message, arrays: Arrays = ()) -> Reply:
        """What takes long, one at a time. It goes on when its caller has left, and the next one waits for it."""
        await self._background.acquire()
        task = asyncio.create_task(self._call(message, arrays, self._limits.call_timeout))
        self._begun.add(task)
        task.add_done_callback(self._is_over)
        reply, answer = await asyncio.shield(task)
        self._note(reply)
        return reply, answer

    def _note(self, reply: Message) -> None:
        """What the worker holds now."""
        self._metrics.programs.set(reply["programs"])
        self._metrics.device_bytes.set(reply["device_bytes"])

    def _is_over(self, task: "asyncio.Task[Reply]") -> None:
        self._begun.discard(task)
        self._background.release()
        if not task.cancelled():
            task.exception()  # seen, should nobody wait for it any more

    async def _call(self, message: Message, arrays: Arrays, timeout: float) -> Reply:
        for _ in range(ATTEMPTS):
            await self._up.wait()
            child = self._child
            if child is None:
                continue
            try:
                return await child.call(message, arrays, timeout=timeout)
            except ArenaFull as error:
                raise InflatedTooLarge(f"The arrays do not fit into shared memory: {error}.") from error
            except (ChildDied, ChildTimeout) as error:
                logger.warning("the worker is lost in the middle of a %s: %s", message["operation"], error)
                await self._bury(child)
        raise WorkerFailed(
            f"The computation ended the worker process twice, or took longer than {timeout:g} s. Send fewer samples "
            f"or a smaller grid."
        )

    async def _bury(self, child: Child) -> None:
        if self._child is child:
            self._child = None
            self._up.clear()
        await child.kill()

    async def _keep_alive(self) -> None:
        pause, deaths = 0.0, Counter[PackageRef]()
        while True:
            began = time.monotonic()
            try:
                await self._live_once(deaths)
            except Exception as error:  # whatever it is, without a worker every request would wait in vain
                logger.error("the worker process is lost: %r", error)
            self._metrics.worker_restarts.inc()
            short = time.monotonic() - began < SHORT_LIFE_S
            pause = min(LONGEST_PAUSE_S, 2 * pause + 0.1) if short else 0.0
            logger.warning("the worker process ended; the next one starts in %.1f s", pause)
            await asyncio.sleep(pause)

    async def _live_once(self, deaths: Counter[PackageRef]) -> None:
        """Starts a worker, loads every package, and waits until the worker has ended."""
        child = await self._start()
        try:
            loaded = {package: await self._load(child, package, deaths) for package in list(self._packages.values())}
            self._child = child
            self._up.set()
            for package, reply in loaded.items():
                if reply is not None:
                    self._note(reply)
                    self._welcome(package, reply)
            await child.ended()
        finally:
            await self._bury(child)

    async def _start(self) -> Child:
        try:
            child = await Child.start(
                multiprocessing.get_context("spawn"),
                self._target,
                (self._options,),
                name="worker",
                arena_bytes=self._limits.arena_bytes,
                slots=SLOTS,
                timeout=self._limits.start_timeout,
            )
        except (ChildDied, ChildTimeout) as error:
            for package in self._packages.values():
                self._listener.failed(package, f"The worker process does not start: {error}.")
            raise
        logger.info("worker %s started: %s", child.process.pid, child.ready)
        return child

    async def _load(self, child: Child, package: PackageRef, deaths: Counter[PackageRef]) -> Message | None:
        logger.info("loading %s", package)
        try:
            reply, _ = await child.call(_load_message(package), timeout=self._limits.start_timeout)
        except DomainError as error:
            self._give_up(package, error.detail)
            return None
        except ChildTimeout:
            self._give_up(package, f"Loading it took longer than {self._limits.start_timeout:g} s.")
            raise
        except ChildKilled:
            deaths[package] += 1
            if deaths[package] >= KILLS:
                self._give_up(package, f"Whoever loaded it was killed {KILLS} times: there may be too little memory.")
            raise
        except ChildDied:
            deaths[package] += KILLS // ATTEMPTS  # a death of its own weighs as much as several kills
            if deaths[package] >= KILLS:
                self._give_up(package, "Loading it ended the worker process twice.")
            raise
        deaths[package] = 0
        return reply

    def _welcome(self, package: PackageRef, reply: Message) -> None:
        logger.info("%s is loaded, warm and checked, after %.1f s", package, reply["seconds"])
        self._metrics.equivariance_error.labels(str(package)).set(reply["report"]["worst"]["error"])
        self._listener.loaded(package, reply)

    def _give_up(self, package: PackageRef, reason: str) -> None:
        logger.error("%s cannot be served: %s", package, reason)
        self._packages.pop((package.model, package.version), None)
        self._listener.failed(package, reason)


def _load_message(package: PackageRef) -> Message:
    return {"operation": "load", "path": str(package.path)}
