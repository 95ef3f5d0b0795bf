"""Main functions of the real child processes that the tests start."""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from equifield_service.arenas import Arrays, Message
from equifield_service.domain.errors import ModelUnavailable, VariableMissing
from equifield_service.endpoint import Answer, Endpoint, serve

waiting: list[Callable[[], None]] = []
"""What a child does when it is told to release what it holds back."""


def handle(message: Message, arrays: list[npt.NDArray[Any]]) -> Answer | Future[Answer]:
    """Does what the message asks: a small vocabulary for tests."""
    match message.get("do"):
        case "double when released":
            later: Future[Answer] = Future()
            waiting.append(lambda: later.set_result(({}, [array * 2 for array in arrays])))
            return later
        case "fail when released":
            failing: Future[Answer] = Future()
            waiting.append(lambda: failing.set_exception(RuntimeError("a bug")))
            return failing
        case "release":
            count = len(waiting)
            while waiting:
                waiting.pop()()
            return {"released": count}, []
        case "double":
            return {"count": len(arrays)}, [array * 2 for array in arrays]
        case "refuse":
            raise VariableMissing("there is no 'u'", variables=["v"])
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            signal.pause()
        case "flood":
            return {}, [np.zeros(2**20, np.float64)]
    return {"echo": message, "pid": os.getpid()}, []


def echo(endpoint: Endpoint, greeting: str) -> None:
    """A child that keeps to the protocol."""
    serve(endpoint, handle, {"greeting": greeting})


def never_ready(endpoint: Endpoint) -> None:
    """A child that starts and says nothing."""
    signal.pause()


def dies_at_once(endpoint: Endpoint) -> None:
    """A child that ends before it is ready."""
    sys.exit(1)


def liar(endpoint: Endpoint, line: str) -> None:
    """A child that answers every request with `line`, whatever that is."""
    with endpoint.socket.makefile("rwb") as stream:
        stream.write(b"{}\n")
        stream.flush()
        for _ in stream:
            stream.write(line.encode() + b"\n")
            stream.flush()


NOTHING = np.zeros(1, np.float32)
SHELF: Message = {"programs": 1, "device_bytes": 0}


def worker(flags: Path, endpoint: Endpoint, options: object) -> None:
    """A worker whose models are their folder names, and whose batches of 13 and 666 are deadly.

    13 kills once, 666 always; `flags` is a folder where it remembers.
    """

    def answer(message: Message, arrays: list[npt.NDArray[Any]]) -> tuple[Message, Arrays]:
        match message["operation"]:
            case "load":
                return {**_load(Path(message["path"]).name), **SHELF}, []
            case "unload":
                loaded.discard(message["model"])
                return SHELF, []
            case "prepare":
                prepared.append(message["case"]["grid"])
                return SHELF, []
            case "check":
                return {"report": {"grid": message["case"]["grid"], "seed": message["seed"]}, **SHELF}, arrays or [
                    NOTHING
                ]
        if message["model"] not in loaded or list(arrays[0].shape[1:-1]) not in prepared:
            return {"prepared": False}, []
        return {"prepared": True, "seconds": {"input": 0.0, "device": 0.0, "all": 0.0}}, [_predict(arrays[0])]

    loaded: set[str] = set()
    prepared = [[2, 2]]

    def _load(name: str) -> Message:
        if name == "refused":
            raise ModelUnavailable("its hash is wrong")
        if name == "deadly":
            os._exit(1)
        if name == "fragile" and (_first_time("fragile") or _first_time("fragile once more")):
            os.kill(os.getpid(), signal.SIGKILL)
        loaded.add(name)
        return {"certificate": {"of": name}, "report": {"worst": {"error": 1e-7}}, "seconds": 0.0}

    def _predict(batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if batch.max() == 666 or (batch.max() == 13 and _first_time("thirteen")):
            os.kill(os.getpid(), signal.SIGKILL)
        if batch.max() == 99:
            signal.pause()
        return batch * 2

    def _first_time(name: str) -> bool:
        seen = (flags / name).exists()
        (flags / name).touch()
        return not seen

    serve(endpoint, answer, {"device": "none"})


def never_starts(endpoint: Endpoint, options: object) -> None:
    """A worker that ends before it is ready."""
    sys.exit(1)
