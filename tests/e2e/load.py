"""Sustained load on a running service, by clients that know every answer; and what the service holds meanwhile."""

import asyncio
import contextlib
import io
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy.io import netcdf_file

from equifield import MultiImage
from equifield.package import load_package
from tests.service import files

CLIENTS = 32
SPOILT = 100  # one request of so many is a file that cannot be read
PATIENCE_S = 120.0  # before a client gives its answer up for lost
VARIABLES = ("c", "u", "v")


@dataclass(frozen=True)
class Question:
    """A request, as it goes over the wire, and the fields that must come back; none if the file is malformed."""

    request: bytes
    expected: npt.NDArray[np.float32] | None


def questions(package: Path, count: int) -> list[Question]:
    """Files that all differ, with the answers of the engine itself, computed at once and without a service."""
    data = [files.dataset(seed) for seed in range(count)]
    packed = np.stack([np.stack([one[name].values[0].T for name in VARIABLES], axis=-1) for one in data])
    model = load_package(package).model
    images = MultiImage(jnp.asarray(packed), model.in_type, ("periodic", "periodic"))
    answers = np.asarray(eqx.filter_jit(model)(images).array)
    return [
        Question(request(files.netcdf3(one)), answer.transpose(2, 1, 0))
        for one, answer in zip(data, answers, strict=True)
    ]


def request(body: bytes, path: str = "/v1/models/tiny/predict") -> bytes:
    """A POST of a file."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/netcdf\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def malformed(question: Question) -> Question:
    """The same file, cut short in its data."""
    body = question.request.partition(b"\r\n\r\n")[2]
    return Question(request(body[: len(body) // 2]), None)


class Load:
    """Clients that ask one question after the other, each on a connection and with questions of its own.

    What goes wrong is kept in `faults`, in words; a test demands that there be none.
    """

    def __init__(self, url: str, asked: Sequence[Question]):
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), int(address.port or 80)
        self._asked = asked
        self._spoilt = itertools.count(1)
        self._stopping = False
        self._ending_since: float | None = None
        self._clients: list[asyncio.Task[None]] = []
        self._answered = asyncio.Condition()
        self._newest = 0.0  # when the latest question was sent that has been answered
        self.answers = self.refusals = 0
        self.faults: list[str] = []

    async def __aenter__(self) -> Self:
        for number in range(CLIENTS):
            own = itertools.cycle(self._asked[number::CLIENTS])
            self._clients.append(asyncio.create_task(self._client(own), name=f"client {number}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for client in self._clients if error else ():
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=error is not None)

    async def more(self, count: int) -> None:
        """Waits until so many more requests have been answered."""
        wanted = self.answers + count
        await self._until(lambda: self.answers >= wanted)

    async def recovery(self) -> float:
        """Seconds until a request that is sent from now on has been answered."""
        now = time.monotonic()
        await self._until(lambda: self._newest >= now)
        return time.monotonic() - now

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """A request of one's own beside the load: the status and the body of its answer."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(self._host, self._port)
            with contextlib.closing(writer):
                return await _ask(reader, writer, request)

    def service_is_ending(self) -> None:
        """From now on connections may be refused, or closed before the first byte of an answer."""
        self._ending_since = time.monotonic()

    async def ended(self) -> None:
        """Waits until the service takes no client any more."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self._clients)

    async def _until(self, done: Callable[[], bool]) -> None:
        """Waits until something holds; at most until the first fault, after which nothing more is to be learnt."""
        async with asyncio.timeout(PATIENCE_S), self._answered:
            await self._answered.wait_for(lambda: done() or bool(self.faults))

    async def _client(self, own: Iterator[Question]) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        with contextlib.closing(writer):
            await self._ask_on(reader, writer, own)

    async def _ask_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, own: Iterator[Question]
    ) -> None:
        while not self._stopping:
            question, began = next(own), time.monotonic()
            if next(self._spoilt) % SPOILT == 0:
                question = malformed(question)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    status, body = await _ask(reader, writer, question.request)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                half = isinstance(error, asyncio.IncompleteReadError) and error.partial
                if half or not self._may_be_turned_away(began):
                    await self._note(began, f"no answer after {time.monotonic() - began:.1f} s: {error!r}")
                break
            if status == 503 and self._may_be_turned_away(began):
                break
            await self._note(began, fault_of(question, status, body))
            self.refusals += question.expected is None

    def _may_be_turned_away(self, began: float) -> bool:
        return self._ending_since is not None and began >= self._ending_since

    async def _note(self, began: float, fault: str | None) -> None:
        async with self._answered:
            self.answers += 1
            self._newest = max(self._newest, began)
            if fault is not None:
                self.faults.append(fault)
            self._answered.notify_all()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """One request on a connection that stays open."""
    writer.write(request)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].split("\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


def fault_of(question: Question, status: int, body: bytes) -> str | None:
    """What is wrong with an answer, if anything is."""
    if question.expected is None:
        return None if status == 400 and b"malformed_file" in body else f"a malformed file got {status}: {body[:300]!r}"
    if status != 200:
        return f"a good file got {status}: {body[:300]!r}"
    with netcdf_file(io.BytesIO(body)) as answer:
        fields = np.stack([answer.variables[name][0] for name in VARIABLES])
    if np.allclose(fields, question.expected, rtol=1e-4, atol=1e-5):
        return None
    return f"a wrong answer, off by up to {np.abs(fields - question.expected).max():.3g}"


@dataclass(frozen=True)
class Holding:
    """What a service holds: memory of all its processes (each shared page once), and segments of shared memory."""

    memory: int
    segments: int
    segment_bytes: int


def holding(pid: int) -> Holding:
    """What the service with this gateway holds now, in bytes."""
    segments = [path.stat().st_size for path in Path("/dev/shm").glob(f"equifield-{pid}-*")]
    return Holding(sum(map(_memory, family(pid))), len(segments), sum(segments))


def family(pid: int) -> list[int]:
    """A process, its children, and theirs."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in _read(task).split()]
    return [pid, *(member for child in children for member in family(child))]


def _memory(pid: int) -> int:
    line = next((line for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines() if line.startswith("Pss:")), "")
    return 1024 * int(line.split()[1]) if line else 0


def _read(path: Path) -> str:
    """Empty for a process that has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def assert_flat(before: Holding, after: Holding) -> None:
    """The law that nothing leaks; a few megabytes are what allocators keep."""
    assert (after.segments, after.segment_bytes) == (before.segments, before.segment_bytes)
    assert after.memory < 1.05 * before.memory + 16 * 2**20, f"{before.memory:,} bytes became {after.memory:,}"
