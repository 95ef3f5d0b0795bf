"""What a worker does for the gateway: load a model, prepare it for a grid, predict, check."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from equifield.package import PackageError

from .. import tracing
from ..arenas import Message
from ..domain.errors import DomainError, ModelUnavailable, WorkerFailed
from ..domain.registry import reason_of
from ..endpoint import Answer
from ..scheduling import Array
from .loaded import Case, LoadedModel
from .options import WorkerOptions
from .rollouts import Course
from .shelf import Shelf

logger = logging.getLogger(__name__)


class Operations:
    """The models of a worker process, and the handler of its channel.

    Predictions are begun where requests are read, and finished by a thread of their own, so that the next batch is
    on its way to the device while one is computed. What takes long (loading, compiling, checking) happens in a third
    thread, one thing at a time, and rollouts in a fourth, piece by piece; no prediction waits for them.
    """

    def __init__(self, options: WorkerOptions):
        self._options = options
        self._shelf = Shelf(options.device_bytes)
        self._finishing = ThreadPoolExecutor(1, "finish")
        self._rolling = ThreadPoolExecutor(1, "roll")
        self._background = ThreadPoolExecutor(1, "background")
        self._finished = 0.0
        self._by_name: dict[str, Callable[[Message, list[npt.NDArray[Any]]], Answer]] = {
            "load": self._load,
            "unload": self._unload,
            "prepare": self._prepare,
            "check": self._check,
        }

    def describe(self) -> Message:
        """What runs here."""
        device = jax.devices()[0]
        return {"device": device.device_kind, "platform": device.platform, "jax": jax.__version__}

    def __call__(self, message: Message, arrays: list[npt.NDArray[Any]]) -> Answer | Future[Answer]:
        """Answers one request; whatever goes wrong becomes a `DomainError`, and the process lives on."""
        operation = message["operation"]
        if operation == "rollout":
            return self._rolling.submit(_guarded, message, self._roll, message, arrays[0], time.perf_counter())
        if operation != "predict":
            return self._background.submit(_guarded, message, self._by_name[operation], message, arrays)
        began = time.perf_counter()
        wait = _guarded(message, self._start, message, arrays[0])
        if wait is None:
            return {"prepared": False}, []
        return self._finishing.submit(_guarded, message, self._finish, wait, began, time.perf_counter())

    def _start(self, message: Message, array: Array) -> Callable[[], Array] | None:
        model = self._shelf.find(message["model"], message["version"])
        return None if model is None else model.start(array, _case(message))

    def _finish(self, wait: Callable[[], Array], began: float, sent: float) -> Answer:
        """Waits for a prediction; the device works on one at a time, so it began when the one before was finished."""
        prediction = wait()
        started, self._finished = max(sent, self._finished), time.perf_counter()
        seconds = {"input": sent - began, "device": self._finished - started, "all": self._finished - began}
        return {"prepared": True, "seconds": seconds}, [prediction]

    def _roll(self, message: Message, samples: Array, came: float) -> Answer:
        """A whole rollout; predictions take their turns on the device between its pieces."""
        began, course = time.perf_counter(), Course(**message["course"])
        model = self._shelf.find(message["model"], message["version"])
        roll = None if model is None else model.rollout(samples, _case(message), course)
        if roll is None:
            return {"prepared": False}, []
        states, ended = roll(), time.perf_counter()
        return {"prepared": True, "seconds": {"input": 0.0, "device": ended - began, "all": ended - came}}, [states]

    def _load(self, message: Message, arrays: list[npt.NDArray[Any]]) -> Answer:
        """Loads a package, compiles its warm grids, and measures what will be served before anyone is."""
        began = time.perf_counter()
        model = self._read(message)
        model.warm()
        report = model.self_check()
        if not report["passed"]:
            worst = report["worst"]
            raise ModelUnavailable(
                f"The self-check failed: under {worst['element']} the field {worst['field']} is off by "
                f"{worst['error']} relative, above the tolerance {report['tolerance']:g}."
            )
        self._shelf.put(model)
        seconds = time.perf_counter() - began
        return {"certificate": model.certificate, "report": report, "seconds": seconds, **self._shelf.describe()}, []

    def _unload(self, message: Message, arrays: list[npt.NDArray[Any]]) -> Answer:
        self._shelf.drop(message["model"], message["version"])
        return self._shelf.describe(), []

    def _prepare(self, message: Message, arrays: list[npt.NDArray[Any]]) -> Answer:
        """Compiles what a batch needs, for a model that is loaded again if it had to make room for others."""
        model = self._present(message)
        model.prepare(_case(message), message["samples"])
        self._shelf.put(model)
        return self._shelf.describe(), []

    def _check(self, message: Message, arrays: list[npt.NDArray[Any]]) -> Answer:
        model = self._present(message)
        case, samples = _case(message), np.array(arrays[0]) if arrays else None
        report, residual = model.check(samples, grid=case.grid, boundary=case.boundary, seed=message["seed"])
        self._shelf.put(model)
        return {"report": report, **self._shelf.describe()}, [residual]

    def _present(self, message: Message) -> LoadedModel:
        return self._shelf.find(message["model"], message["version"]) or self._read(message)

    def _read(self, message: Message) -> LoadedModel:
        path = Path(message["path"])
        try:
            model = LoadedModel(path, max_batch=self._options.max_batch, max_grids=self._options.max_compiled_grids)
        except PackageError as error:
            raise ModelUnavailable(reason_of(error, path)) from error
        if model.manifest.dtype != "float32":
            raise ModelUnavailable(f"The model computes in {model.manifest.dtype}; this service serves float32.")
        return model


def _guarded(message: Message, call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        with tracing.continued(f"worker {message['operation']}", message.get("traceparent")):
            return call(*arguments)
    except DomainError:
        raise
    except Exception as error:
        logger.exception("%s failed", message["operation"])
        first_line = next(iter(str(error).splitlines()), "")
        raise WorkerFailed(f"The computation failed with {type(error).__name__}: {first_line}") from error


def _case(message: Message) -> Case:
    case, course = message["case"], message["course"]
    piece = None if course is None else Course(**course).piece
    return Case(tuple(case["grid"]), tuple(case["boundary"]), case["precision"], case["symmetrize"], piece)
