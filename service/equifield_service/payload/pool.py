"""The payload processes as the gateway sees them: a pool that outlives every file."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from equifield.package.manifest import Manifest, packed_components

from ..arenas import ArenaFull, Arrays, Message
from ..channel import Child, ChildDied, ChildKilled, ChildTimeout
from ..domain.errors import (
    DeadlineExceeded,
    DomainError,
    InflatedTooLarge,
    MalformedFile,
    PayloadError,
    PayloadProcessFailed,
    PayloadTooLarge,
    UnsafeFile,
)
from ..logs import LogOptions
from .crew import Crew
from .describing import wants_of
from .magic import kind_of
from .values import Decoded, Frame, Limits, Progress, ReadOptions, WriteOptions

Reply = tuple[Message, list[npt.NDArray[Any]]]

CRASHES = 2
"""After so many processes that one file has ended, or kept for too long, it is to blame."""
KILLS = 10
"""After so many processes that somebody else has killed, a request is given up."""
DAMAGING = (MalformedFile, UnsafeFile, InflatedTooLarge, PayloadProcessFailed)
"""After one of these a process is replaced: the file may have done more to it than be refused."""


class PayloadPool:
    """Decodes and encodes files in sandboxed processes, one file at a time in each.

    A process that dies or does not answer is killed and replaced; its request is tried again in another one,
    its neighbours notice nothing.

    Args:
        processes: How many files are worked on at the same time.
        arena_bytes: Shared memory per process and direction: bounds a body together with its prediction.
        limits: What a file may ask of the process that opens it.
        timeout: How long one file may take, however much time its request has.
        replaced: Called whenever a process is replaced.
        log: How the processes log.
    """

    def __init__(
        self,
        processes: int,
        arena_bytes: int,
        limits: Limits | None = None,
        timeout: float = 10.0,
        replaced: Callable[[], None] = lambda: None,
        log: LogOptions | None = None,
    ):
        if processes < 1 or timeout <= 0:
            raise ValueError(
                f"`PayloadPool` needs at least one process and a positive timeout, but got "
                f"processes={processes} and timeout={timeout:g}."
            )
        self._arena_bytes, self._timeout = arena_bytes, timeout
        self._crew = Crew(processes, arena_bytes, limits or Limits(), timeout + 1.0, replaced, log or LogOptions())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Starts the processes and waits until all of them are ready.

        Raises:
            ChildDied, ChildTimeout: One of them did not start; the others are ended.
        """
        await self._crew.start()

    async def close(self) -> None:
        """Ends all processes and frees their shared memory."""
        await self._crew.close()

    @property
    def pids(self) -> list[int]:
        """The processes that are there now, busy ones included."""
        return self._crew.pids

    @property
    def alive(self) -> int:
        """How many processes can take a file, now or when they have finished the one they have."""
        return self._crew.alive

    async def decode(
        self, body: bytes, manifest: Manifest, options: ReadOptions, *, media: str | None, timeout: float
    ) -> Decoded:
        """Reads what a model wants from a file.

        Raises:
            PayloadError: The file is refused; the extras say what it has and what the model wants.
            InvalidQuery: The options name nothing of the model.
            DeadlineExceeded: The request's time is over.
        """
        features = len(packed_components(manifest.inputs, manifest.grid.axes))
        expected = _Expected("<f4", manifest.ndim + 2, features)
        try:
            kind = kind_of(body, media)
            message = _message("decode", manifest, kind=kind, options=vars(options))
            reply, (array, shell) = await self._call(message, [_as_array(body)], timeout, expected)
            plan = dict(reply["plan"])
            periodic = tuple(axis for axis in manifest.grid.axes if axis in plan["periodic"])
            return Decoded(array, Frame(kind, array.shape[:-1], plan, shell, periodic))
        except PayloadError as error:
            error.extra.setdefault("variables", [])
            error.extra.setdefault("wants", wants_of(manifest))
            raise

    async def encode(
        self,
        manifest: Manifest,
        frame: Frame,
        prediction: npt.NDArray[np.float32],
        *,
        options: WriteOptions,
        attributes: Mapping[str, str],
        timeout: float,
        progress: Progress | None = None,
    ) -> memoryview:
        """Writes a prediction as a file of some kind, with the coordinates and attributes of the file that was decoded.

        Args:
            manifest: Of the same model.
            frame: That of what `decode` returned.
            prediction: `(batch, *grid, features)` on the grid of the outputs, in the order of the manifest's outputs;
                of a rollout `(batch, frames, *grid, features)`.
            options: How to write it.
            attributes: Global attributes to set; `history` is appended to the file's own.
            timeout: Seconds that are left to the request.
            progress: How far a rollout came, or which part of it this is; its frame must be that of a file decoded for
                one.

        Raises:
            NotAcceptable: The kind cannot hold the file's coordinates.
            DeadlineExceeded: The request's time is over.
        """
        batch, grid = frame.shape[0], manifest.grid.refined(frame.shape[1:])
        frames = () if progress is None else (len(progress.numbers),)
        expected = (batch, *frames, *grid, len(packed_components(manifest.outputs, manifest.grid.axes)))
        if prediction.shape != expected or prediction.dtype != np.float32:
            raise ValueError(
                f"`encode` needs a float32 prediction of shape {expected}, the batch of the input on the "
                f"grid of the outputs with their features, but got {prediction.dtype} {prediction.shape}."
            )
        message = _message(
            "encode",
            manifest,
            options=vars(options),
            sent=frame.kind,
            plan=frame.plan,
            attributes=dict(attributes),
            progress=None if progress is None else vars(progress),
        )
        _, (file,) = await self._call(message, [frame.shell, prediction], timeout, _Expected("|u1", 1))
        return file.data

    async def _call(self, message: Message, arrays: Arrays, timeout: float, expected: "_Expected") -> Reply:
        """One request in some process; in others if that dies, and only what dies of itself is held against it."""
        deadline = asyncio.get_running_loop().time() + timeout
        crashes = kills = 0
        while crashes < CRASHES and kills < KILLS:
            try:
                return await self._try(message, arrays, deadline, expected)
            except ChildKilled:
                kills += 1
            except ChildDied:
                crashes += 1
        if kills == KILLS:
            raise PayloadProcessFailed(
                f"{KILLS} processes that had the file were killed from outside. The machine may have too little "
                f"memory. Try again later, or send less at once."
            )
        raise MalformedFile(
            f"The file ended {CRASHES} processes that tried to read it, or kept them for more than "
            f"{self._timeout:g} s: it is damaged, or made to do so. Write it again with a current NetCDF library."
        )

    async def _try(self, message: Message, arrays: Arrays, deadline: float, expected: "_Expected") -> Reply:
        child = await self._acquire(deadline)
        left = deadline - asyncio.get_running_loop().time()
        try:
            reply = await child.call(message, arrays, timeout=min(left, self._timeout))
            expected.check(reply)
        except ChildTimeout:
            self._crew.replace(child)
            if left <= self._timeout:
                raise _too_late() from None
            raise ChildDied(f"a payload process was still at its file after {self._timeout:g} s") from None
        except ArenaFull:
            self._crew.release(child)
            raise PayloadTooLarge(
                f"The body and what belongs to it are larger than the {self._arena_bytes} bytes that one "
                f"request may use. Send fewer samples."
            ) from None
        except DomainError as error:
            if isinstance(error, DAMAGING):
                self._crew.replace(child)
            else:
                self._crew.release(child)
            raise
        except BaseException:  # it died, or the request was cancelled and its answer would reach the next one
            self._crew.replace(child)
            raise
        self._crew.release(child)
        return reply

    async def _acquire(self, deadline: float) -> Child:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._crew.acquire()
        except TimeoutError:
            raise _too_late() from None


@dataclass(frozen=True)
class _Expected:
    """What an answer must look like. A process that has parsed a hostile file is not believed."""

    dtype: str
    ndim: int
    features: int | None = None

    def check(self, reply: Reply) -> None:
        message, arrays = reply
        decoded = self.features is not None
        forms = [(self.dtype, self.ndim, True), *([("|u1", 1, True)] if decoded else [])]
        fits = [(array.dtype.str, array.ndim, array.size > 0) for array in arrays] == forms
        if decoded:
            plan = message.get("plan")
            fits = fits and arrays[0].shape[-1] == self.features
            fits = fits and isinstance(plan, dict) and isinstance(plan.get("periodic"), list)
        if not fits:
            raise ChildDied("a payload process broke the protocol: its answer has the wrong form")


def _message(op: str, manifest: Manifest, **rest: Any) -> Message:
    return {"op": op, "manifest": manifest.model_dump_json(), **rest}


def _as_array(body: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(body, np.uint8)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The deadline of the request was over before its file was done. Allow more time, or send less."
    )
