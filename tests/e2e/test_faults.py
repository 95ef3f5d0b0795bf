"""The service under sustained load and every fault we can cause: nothing is lost, nothing is wrong, nothing leaks.

Clocks are set by a library that is preloaded, which needs a C compiler; without one that test is skipped. A full disk
is one that takes no more from a process: a file size limit on the worker, and a device that is always full for the log.
"""

import ast
import asyncio
import contextlib
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import equifield_service
from equifield_service.workers.supervisor import SLOTS
from tests.e2e.load import (
    CLIENTS,
    PATIENCE_S,
    SPOILT,
    Holding,
    Load,
    Question,
    assert_flat,
    fault_of,
    holding,
    questions,
    request,
)
from tests.running import Running, start
from tests.service import files

Record = Callable[[str, object], None]
Story = Callable[[Running, Load], Awaitable[None]]

PAYLOAD_PROCESSES = 2
SEGMENTS = 2 * (PAYLOAD_PROCESSES + SLOTS)
"""Shared memory there and back for every payload process, and for every call that the worker may have at a time."""

WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}
TELLS_WHEN = {"domain/predict.py", "domain/check.py", "domain/jobs/desk.py", "scheduling/statistics.py", "telemetry.py"}
"""What says when something happened: the history of a file, the last inference of a model, the start of a span."""


@pytest.fixture(scope="module")
def asked(published: Path) -> list[Question]:
    """Four different files for every client."""
    return questions(published / "tiny" / "1", 4 * CLIENTS)


def survive(store: Path, asked: list[Question], story: Story, *first: bytes, **settings: str) -> None:
    """Tells a story to a service under load, then ends it under load, and demands that all laws hold.

    What the service holds is measured after the requests `first`, so that it may hold as much as they took.
    """

    async def told(running: Running) -> None:
        pid = running.process.pid
        async with Load(running.url, asked) as load:
            for one in first:
                assert (await load.ask(one))[0] == 200
            await load.more(2 * SPOILT)
            before = await settled(pid, load)
            await story(running, load)
            await load.more(SPOILT)
            assert_flat(before, await settled(pid, load))
            assert load.faults == [], load.faults[0]
            assert load.refusals >= load.answers // SPOILT > 0
            running.process.send_signal(signal.SIGTERM)
            load.service_is_ending()
            await load.ended()
            assert load.faults == [], load.faults[0]

    running = start(
        store, **{"payload_processes": str(PAYLOAD_PROCESSES), "max_batch": "4", "log_level": "warning", **settings}
    )
    with running.process:
        try:
            asyncio.run(told(running))
            assert running.process.wait(60) == 0
        finally:
            running.process.kill()
    assert holding(running.process.pid) == Holding(0, 0, 0)


async def settled(pid: int, load: Load) -> Holding:
    """What the service holds while none of its processes is being replaced, which malformed files cause at any time."""
    async with asyncio.timeout(PATIENCE_S):
        while (held := holding(pid)).segments != SEGMENTS:
            await load.more(CLIENTS)
    return held


def send(running: Running, number: signal.Signals, *kinds: str) -> None:
    """A signal to the first process of each kind, if there is one at this moment."""
    children = running.children()
    for kind in kinds:
        for pid in children[kind][:1]:
            os.kill(pid, number)


def test_killing_worker_and_payload_processes_under_load_loses_nothing(
    published: Path, asked: list[Question], record_property: Record
) -> None:
    async def story(running: Running, load: Load) -> None:
        for kinds in (("payload",), ("worker", "payload")):
            send(running, signal.SIGKILL, *kinds)
            record_property(f"seconds to recover from kill -9 of {' and '.join(kinds)}", await load.recovery())

    survive(published, asked, story)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_killing_again_and_again_loses_nothing(published: Path, asked: list[Question], record_property: Record) -> None:
    rng = random.Random(1)

    async def story(running: Running, load: Load) -> None:
        seconds: dict[str, list[float]] = {}
        for _ in range(20):
            kinds = rng.choice([("payload",), ("worker",), ("worker", "payload")])
            send(running, signal.SIGKILL, *kinds)
            seconds.setdefault(" and ".join(kinds), []).append(await load.recovery())
            await load.more(rng.randrange(SPOILT))
        for kind, each in seconds.items():
            text = f"{np.median(each):.2f} (median), {max(each):.2f} (longest of {len(each)})"
            record_property(f"seconds to recover from kill -9 of {kind}", text)

    survive(published, asked, story)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_thousand_requests_with_malformed_ones_among_them(published: Path, asked: list[Question]) -> None:
    async def story(running: Running, load: Load) -> None:
        while load.answers < 10_000 and not load.faults:
            await load.more(500)

    survive(published, asked, story)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_worker_that_hangs_is_replaced_and_no_request_is_lost(
    published: Path, asked: list[Question], record_property: Record
) -> None:
    async def story(running: Running, load: Load) -> None:
        send(running, signal.SIGSTOP, "worker")
        record_property("seconds to recover from a worker that hangs, with 10 s of patience", await load.recovery())

    survive(published, asked, story, batch_timeout_s="10")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_worker_without_memory_fails_only_the_request_that_is_too_large(
    published: Path, asked: list[Question], record_property: Record
) -> None:
    large, larger = (request(files.netcdf3(files.dataset(1, grid=(256, side)))) for side in (250, 256))

    async def story(running: Running, load: Load) -> None:
        (worker,) = running.children()["worker"]
        used = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(worker, resource.RLIMIT_AS, (used + 2**20, resource.RLIM_INFINITY))
        status, body = await load.ask(larger)
        record_property("the request for which memory did not suffice got", status)
        assert status == 500 and b"worker_failed" in body or worker not in running.children()["worker"]
        for pid in running.children()["worker"]:
            resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    survive(published, asked, story, large, request_timeout_s=f"{PATIENCE_S:g}")


@contextlib.contextmanager
def full_log() -> Iterator[None]:
    """What is started meanwhile writes its log to a disk that is full."""
    kept, full = os.dup(2), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(full)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_full_disk_costs_the_log_and_the_cache_but_no_request(
    published: Path, asked: list[Question], tmp_path: Path
) -> None:
    cache = tmp_path / "compiled"

    async def story(running: Running, load: Load) -> None:
        (worker,) = running.children()["worker"]
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        kept = {path for path in cache.rglob("*") if path.stat().st_size}
        status, body = await load.ask(request(files.netcdf3(files.dataset(1, grid=(12, 12)))))
        assert status == 200, body
        assert {path for path in cache.rglob("*") if path.stat().st_size} == kept
        send(running, signal.SIGKILL, "worker", "payload")
        await load.recovery()

    with full_log():
        survive(published, asked, story, compilation_cache=str(cache), log_level="info")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_broken_new_version_is_named_and_the_old_one_goes_on(
    published: Path, asked: list[Question], tmp_path: Path
) -> None:
    store = Path(shutil.copytree(published, tmp_path / "store"))

    async def story(running: Running, load: Load) -> None:
        shutil.copytree(store / "tiny" / "1", tmp_path / "2")
        (tmp_path / "2" / "card.md").write_text("# Not what was published\n")
        (tmp_path / "2").rename(store / "tiny" / "2")
        async with asyncio.timeout(PATIENCE_S):
            while (
                b"SHA-256" not in (await load.ask(b"GET /v1/models/tiny/versions/2 HTTP/1.1\r\nHost: test\r\n\r\n"))[1]
            ):
                await load.more(CLIENTS)

    survive(store, asked, story, store_poll_s="0.5")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the clock that can be set")
def test_a_wall_clock_that_jumps_changes_nothing(
    published: Path, asked: list[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset, library = tmp_path / "offset", tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_OFFSET", str(offset))

    def jump(days: int) -> None:
        with offset.open("r+b") as mapped:  # without cutting it short under those who look at it
            mapped.write(struct.pack("l", 86400 * days))

    async def story(running: Running, load: Load) -> None:
        for days in (400, -400, 0):
            jump(days)
            await load.more(SPOILT)
            send(running, signal.SIGKILL, "payload")
            await load.recovery()

    offset.write_bytes(struct.pack("l", 0))
    code = "import time; print(time.time())"
    now = float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    jump(400)
    then = float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert then - now > 399 * 86400
    jump(0)
    survive(published, asked, story)


def wall_clocks(source: str) -> set[str]:
    """The wall clocks that a module reads."""
    attributes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    return {".".join(ast.unparse(node).split(".")[-2:]) for node in attributes} & WALL_CLOCK


def test_only_what_tells_when_something_happened_reads_the_wall_clock() -> None:
    root = Path(equifield_service.__file__).parent
    readers = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if wall_clocks(path.read_text())}
    assert readers <= TELLS_WHEN
    assert wall_clocks("import datetime, time\ndeadline = time.time() + 1\nnow = datetime.datetime.now()\n")


def test_an_answer_that_is_wrong_is_told_from_one_that_is_right() -> None:
    data = files.dataset(1)
    fields = np.stack([data[name].values[0] for name in ("c", "u", "v")])
    question, body = Question(b"", fields), files.netcdf3(data)
    assert fault_of(question, 200, body) is None
    assert "a wrong answer" in str(fault_of(Question(b"", fields + np.float32(0.01)), 200, body))
    assert "a good file got 500" in str(fault_of(question, 500, b""))
    assert "a malformed file got 200" in str(fault_of(Question(b"", None), 200, body))


def test_a_leak_of_memory_or_of_shared_memory_is_seen() -> None:
    leaky = """
import sys
from multiprocessing import resource_tracker, shared_memory
import os
print(flush=True); sys.stdin.readline()
kept = bytearray(2**27)
segment = shared_memory.SharedMemory(f"equifield-{os.getpid()}-leak", create=True, size=2**20)
print(flush=True); sys.stdin.readline()
segment.unlink()
"""
    command = [sys.executable, "-c", leaky]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None and process.stdout is not None
        held = []
        for _ in range(2):
            process.stdout.readline()
            held.append(holding(process.pid))
            process.stdin.write(b"\n")
        assert process.wait(60) == 0
    before, after = held
    assert (after.segments, after.segment_bytes) == (1, 2**20) and after.memory - before.memory > 2**26
    for worse in (Holding(after.memory, 0, 0), Holding(before.memory, 1, 2**20)):
        with pytest.raises(AssertionError):
            assert_flat(before, worse)
    assert_flat(before, before)
