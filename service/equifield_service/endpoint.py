"""The child's end of a channel: the loop that answers the gateway's requests."""

import json
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy.typing as npt

from .arenas import Arrays, Message, view_arrays, write_arrays
from .domain.errors import DomainError

Answer = tuple[Message, Arrays]
Handler = Callable[[Message, list[npt.NDArray[Any]]], Answer | Future[Answer]]


@dataclass(frozen=True)
class Slot:
    """The shared memory of one call: into the child, and out of it."""

    inbox: SharedMemory
    outbox: SharedMemory


@dataclass(frozen=True)
class Endpoint:
    """What a child needs to answer; passed to it once, as the argument of its main function."""

    socket: socket.socket
    slots: tuple[Slot, ...]


def serve(endpoint: Endpoint, handle: Handler, ready: Message) -> None:
    """The child's main loop: says `ready`, then answers requests until the gateway hangs up.

    A handler that returns a future has done its part: the next request is handled while that one is computed.
    A `DomainError` of the handler is an answer; any other exception ends the process, which the gateway sees.
    Ctrl-C in a terminal reaches every process of the service; it is the gateway that decides when to end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    speaking = threading.Lock()
    with endpoint.socket.makefile("rwb") as stream:

        def say(message: Message) -> None:
            with speaking:
                stream.write(json.dumps(message).encode() + b"\n")
                stream.flush()

        say(ready)
        for line in stream:
            request = json.loads(line)
            slot = endpoint.slots[request["slot"]]
            views = view_arrays(slot.inbox, request["arrays"])
            # the outcome has no name here, so that its memory is not kept until the next request
            _begin(handle, request["message"], views).add_done_callback(_Answering(endpoint, say, request["id"], slot))


def _begin(handle: Handler, message: Message, arrays: list[npt.NDArray[Any]]) -> Future[Answer]:
    """The outcome of a request, there at once unless the handler computes it in the background."""
    future: Future[Answer] = Future()
    try:
        outcome = handle(message, arrays)
        if isinstance(outcome, Future):
            return outcome
        future.set_result(outcome)
    except DomainError as error:
        future.set_exception(error)
    return future


@dataclass(frozen=True)
class _Answering:
    """Says the outcome of one request, in whichever thread it became known."""

    endpoint: Endpoint
    say: Callable[[Message], None]
    number: int
    slot: Slot

    def __call__(self, future: Future[Answer]) -> None:
        try:
            self.say({"id": self.number, **self._outcome(future)})
        except BaseException:
            self.endpoint.socket.shutdown(socket.SHUT_RDWR)  # ends the main loop, and with it the process
            raise

    def _outcome(self, future: Future[Answer]) -> Message:
        try:
            reply, arrays = future.result()
        except DomainError as error:
            return {"error": error.to_dict()}
        return {"message": reply, "arrays": write_arrays(self.slot.outbox, arrays)}
