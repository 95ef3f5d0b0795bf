"""A real service, started as a process."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

READY = "Equifield is ready on "


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Asks again and again, for a bounded time."""
    over = threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.start()
    try:
        while not condition():
            assert not over.is_set(), "it did not happen in time"
    finally:
        timer.cancel()


@dataclass(frozen=True)
class Running:
    """A service that was started as a process."""

    process: subprocess.Popen[str]
    line: str
    folder: Path | None = None
    """Of its jobs, where the test did not name one."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return next(word for word in self.line.split() if word.startswith("http://"))

    def children(self) -> dict[str, list[int]]:
        """The process ids of its workers and payload processes."""
        listed: dict[str, list[int]] = {"worker": [], "payload": []}
        parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
        for pid, parent in parents.items():
            if parent == self.process.pid and b"spawn_main" in _command(pid):
                listed["worker"].append(pid)
            if parents.get(parent) == self.process.pid and b"forkserver" in _command(pid):
                listed["payload"].append(pid)
        return listed

    def stop(self) -> int:
        """Asks it to end, and waits until it has."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        if self.folder is not None:
            shutil.rmtree(self.folder)
        return code


def _parent(path: Path) -> int:
    try:
        return int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def start(store: Path, **settings: str) -> Running:
    """Starts the service, on a free port if the settings name none, and waits for its line."""
    folder = None if "jobs" in settings else Path(tempfile.mkdtemp(prefix="equifield-jobs-"))
    settings = {"jobs": str(folder), "port": "0"} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "equifield_service", "serve", "--port", settings["port"], "--store", str(store)],
        env={**os.environ, **{f"EQUIFIELD_{name.upper()}": value for name, value in settings.items()}},
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None:
        raise RuntimeError("stdout is piped")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the service ended with {process.wait()} before it was ready")
    return Running(process, line.strip(), folder)
