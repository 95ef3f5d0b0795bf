"""The processes that are compared, asked over pipes."""

import json
import os
import queue
import statistics
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[1]
POLITE = {
    "MPLBACKEND": "Agg",
    "OMP_WAIT_POLICY": "PASSIVE",
    "WANDB_MODE": "disabled",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
"""No windows, no accounts, and room for each other: on shared cores PyTorch takes ten times longer if it spins."""
DEVICES = {"cpu": {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}, "gpu": {"JAX_PLATFORMS": "cuda,cpu"}}
DEADLINE = 600.0
"""Seconds within which a question must be answered."""
SECONDS, LEAST = 1.5, 5
"""How long one comparison goes on, and how many rounds it takes at least."""


class Side:
    """A worker process, ended with the `with` statement that it was started for."""

    def __init__(self, name: str, python: str, device: str):
        """**Arguments:** the side's name, the Python in whose environment it is installed, and `cpu` or `gpu`."""
        self.name, self.python, self.device = name, python, device
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | POLITE | DEVICES[device],
            cwd=ROOT,
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def again(self) -> "Side":
        """A process of the same side that has done nothing yet."""
        return Side(self.name, self.python, self.device)

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to a question.

        **Raises:** `RuntimeError` when the worker has died, `TimeoutError` when it does not answer in time.
        """
        if self._process.stdin is None:
            raise RuntimeError(f"The worker {self.name} has no pipe.")
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=DEADLINE)
        except BrokenPipeError:
            line = ""
        except queue.Empty:
            raise TimeoutError(f"The worker {self.name} took more than {DEADLINE:.0f} s for {question}.") from None
        if not line:
            raise RuntimeError(f"The worker {self.name} has died ({self._process.wait()}) on {question}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._answers.put(line)
        self._answers.put("")


class Times:
    """The seconds of programs, written `SIDE PROGRAM`, one call of each per round."""

    def __init__(self, *calls: tuple[Side, str]):
        """Measures."""
        self.seconds: dict[str, list[float]] = {f"{side.name} {name}": [] for side, name in calls}
        start, rounds = time.perf_counter(), 0
        while time.perf_counter() - start < SECONDS or rounds < LEAST:
            for side, name in calls:
                self.seconds[f"{side.name} {name}"].append(side.ask(time=name)["seconds"])
            rounds += 1

    def milliseconds(self, program: str) -> float:
        """The median time of a program."""
        return 1e3 * statistics.median(self.seconds[program])

    def ratio(self, slow: str, fast: str) -> float | None:
        """The median over the rounds of the time of one program relative to another; None if one has not run."""
        if not {slow, fast} <= self.seconds.keys():
            return None
        return statistics.median(a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True))
