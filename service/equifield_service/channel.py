"""The gateway's end of a channel to a child process: JSON lines for words, shared memory for arrays.

Nothing is pickled once the child runs: a payload process has parsed untrusted bytes, so what it says is
read as JSON and bounds-checked, never executed. A child has a slot of shared memory for each call that may be
under way at one time; answers come in any order.
"""

import asyncio
import contextlib
import itertools
import json
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, Self

import numpy.typing as npt

from .arenas import Arrays, Message, free, new_arena, release, view_arrays, write_arrays
from .domain.errors import DomainError
from .endpoint import Endpoint, Slot

Reply = tuple[Message, list[npt.NDArray[Any]]]

LINE_LIMIT = 2**24  # a reply's JSON may name every variable of a large file
LAST_SECONDS = 5.0  # that a process may take to end after its pipe has closed

_reaping = threading.Lock()
"""Held while asking multiprocessing how processes ended, as starting one does of all: it tells only one thread."""


class ChildDied(Exception):
    """The child process ended, did not start, or said something that is not the protocol."""


class ChildKilled(ChildDied):
    """Somebody else sent the child process SIGKILL: an operator, or a system that ran out of memory."""


class ChildTimeout(Exception):
    """The child process did not answer before the deadline."""


class _Call(NamedTuple):
    slot: int
    nbytes: int
    answer: asyncio.Future[Reply]


class Child:
    """A running child process, as the gateway sees it: as many calls at one time as it has slots."""

    def __init__(self, process: BaseProcess, slots: tuple[Slot, ...]):
        self.process = process
        self.ready: Message = {}
        self._slots = slots
        self._free: asyncio.Queue[int] = asyncio.Queue()
        self._numbers = itertools.count()
        self._calls: dict[int, _Call] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._gone: ChildDied | None = None

    @classmethod
    async def start(
        cls,
        context: SpawnContext | ForkServerContext,
        target: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        name: str,
        arena_bytes: int,
        timeout: float,
        slots: int = 1,
    ) -> Self:
        """Starts `target(endpoint, *arguments)` and waits until it says that it is ready.

        Raises:
            ChildTimeout: it did not say so in time; the process is gone then.
            ChildDied: it cannot be started, or ended before it was ready.
        """
        async with contextlib.AsyncExitStack() as undo:
            try:
                ours, theirs = (undo.enter_context(end) for end in socket.socketpair())
                memory = tuple(Slot(new_arena(arena_bytes, undo), new_arena(arena_bytes, undo)) for _ in range(slots))
                process = context.Process(
                    target=target, args=(Endpoint(theirs, memory), *arguments), name=name, daemon=True
                )
                child = cls(process, memory)
                undo.push_async_callback(child.kill)
                await _finish(asyncio.to_thread(_start, process))
                theirs.close()
                ours.setblocking(False)
                reader, child._writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT)
            except (EOFError, OSError) as error:
                raise ChildDied(f"{name} cannot be started: {error}") from error
            async with child._within(timeout):
                child.ready = await child._receive(reader)
            child._listening = asyncio.create_task(child._listen(reader), name=f"channel of {name}")
            for slot in range(slots):
                child._free.put_nowait(slot)
            undo.pop_all()
        return child

    async def call(self, message: Message, arrays: Arrays = (), *, timeout: float) -> Reply:
        """Sends one request and returns the answer; the arrays are copies that belong to the caller.

        A call that is cancelled or times out keeps its slot until the child has answered it after all.

        Raises:
            DomainError: the child's own, as its handler raised it.
            ChildTimeout, ChildDied, ChildKilled: the child must be killed.
            ArenaFull: nothing was sent.
        """
        async with self._within(timeout):
            answer = await self._send(message, arrays)
            return await answer

    async def _send(self, message: Message, arrays: Arrays) -> "asyncio.Future[Reply]":
        slot = await self._free.get()
        try:
            if self._gone is not None or self._writer is None:
                raise ChildDied(f"{self.process.name} is gone") from self._gone
            places = write_arrays(self._slots[slot].inbox, arrays)
        except BaseException:
            self._free.put_nowait(slot)
            raise
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._calls[number] = _Call(slot, sum(array.nbytes for array in arrays), answer)
        request = {"id": number, "slot": slot, "message": message, "arrays": places}
        self._writer.write(json.dumps(request).encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # whoever listens will say why
            await self._writer.drain()
        return answer

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Hands every answer to its call, until the child is gone; then tells all that still wait."""
        try:
            while True:
                self._answer(await self._receive(reader))
        except ChildDied as error:
            self._end(error)

    def _answer(self, reply: Message) -> None:
        try:
            call = self._calls.pop(reply["id"])
        except (KeyError, TypeError) as error:
            raise ChildDied(f"{self.process.name} broke the protocol: it answered what nobody asked") from error
        slot = self._slots[call.slot]
        release(slot.inbox, call.nbytes)
        try:
            outcome = self._understand(reply, slot)
        except ChildDied as error:
            _give(call.answer, error)
            raise
        _give(call.answer, outcome)
        self._free.put_nowait(call.slot)

    def _understand(self, reply: Message, slot: Slot) -> Reply | DomainError:
        try:
            if "error" in reply:
                return DomainError.from_dict(reply["error"])
            message, views = dict(reply["message"]), view_arrays(slot.outbox, reply["arrays"])
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ChildDied(f"{self.process.name} broke the protocol: {error}") from error
        arrays = [view.copy() for view in views]
        release(slot.outbox, sum(array.nbytes for array in arrays))
        return message, arrays

    def _end(self, error: ChildDied) -> None:
        """Whoever waits for an answer, or for a slot, hears of it."""
        self._gone = self._gone or error
        for call in self._calls.values():
            _give(call.answer, type(error)(*error.args))
            self._free.put_nowait(call.slot)
        self._calls.clear()

    async def ended(self) -> None:
        """Waits until the process ends, however it does; it takes no call after that. One waiter at a time."""
        loop, over, sentinel = asyncio.get_running_loop(), asyncio.Event(), self.process.sentinel
        loop.add_reader(sentinel, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(sentinel)
        # its pipe closes a moment before the system calls it dead
        self._gone = self._gone or ChildDied(f"{self.process.name} ended")

    @contextlib.asynccontextmanager
    async def _within(self, timeout: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout):
                yield
        except TimeoutError:
            raise ChildTimeout(f"{self.process.name} did not answer within {timeout:g} s") from None

    async def _receive(self, reader: asyncio.StreamReader) -> Message:
        try:
            line = await reader.readline()
            if line.endswith(b"\n"):
                return dict(json.loads(line))
        except ConnectionError as error:
            raise await self._death() from error
        except (RecursionError, TypeError, ValueError) as error:
            raise ChildDied(f"{self.process.name} broke the protocol: {error}") from error
        raise await self._death()

    async def _death(self) -> ChildDied:
        """What to raise when the child has closed its pipe."""
        await asyncio.to_thread(_join, self.process, LAST_SECONDS)
        killed = self.process.exitcode == -signal.SIGKILL
        return (ChildKilled if killed else ChildDied)(f"{self.process.name} ended")

    @property
    def alive(self) -> bool:
        """Whether the process still runs and can take a call."""
        return self._gone is None and self.running

    @property
    def running(self) -> bool:
        """Whether the process still runs, be it busy."""
        return not wait([self.process.sentinel], timeout=0)

    async def kill(self) -> None:
        """Ends the process at once and frees its shared memory. Safe to call twice."""
        if self._listening is not None:
            self._listening.cancel()
        self._end(ChildDied(f"{self.process.name} was ended"))
        if self._writer is not None:
            self._writer.close()
        try:
            if self.process.pid is not None:
                self.process.kill()
                await _finish(asyncio.to_thread(_join, self.process))
        finally:
            for slot in self._slots:
                free(slot.inbox)
                free(slot.outbox)


def _give(answer: "asyncio.Future[Reply]", outcome: Reply | Exception) -> None:
    """Answers a call, unless it gave up."""
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _start(process: BaseProcess) -> None:
    with _reaping:
        process.start()


def _join(process: BaseProcess, timeout: float | None = None) -> None:
    """Waits until a process has ended, and keeps how."""
    if wait([process.sentinel], timeout):
        with _reaping:
            process.join()


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Awaits work that must not be left half done: a cancellation waits until it is over."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
