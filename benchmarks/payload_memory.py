"""How much memory one large request takes, stage by stage: gateway, payload process and worker, shared memory included.

    python benchmarks/payload_memory.py --store STORE --model MODEL --megabytes 100

Sends a classic NetCDF file with the components `u` and `v` and the tracer `c`, and watches the sum of the
proportional set sizes of all processes of the service, fifty times a second.
"""

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]

MIB = 2**20
READY = "Equifield is ready on "


def pss(process: psutil.Process) -> int:
    """Bytes that a process answers for; pages shared by n processes count as a n-th."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


class Watch(threading.Thread):
    """The most that every process of a service, by its name, and all together have held."""

    def __init__(self, service: psutil.Process):
        super().__init__(daemon=True)
        self.service, self.over = service, threading.Event()
        self.peak, self.parts = 0, dict[str, int]()
        self.timeline: list[tuple[float, int]] = []

    def look(self) -> dict[int, int]:
        """What each process holds now."""
        return {p.pid: pss(p) for p in [self.service, *self.service.children(recursive=True)]}

    def run(self) -> None:
        started = time.monotonic()
        while not self.over.wait(0.02):
            found = self.look()
            total = sum(found.values())
            self.timeline.append((time.monotonic() - started, total))
            if total > self.peak:
                self.peak, self.parts = total, {str(pid): size for pid, size in found.items()}


def body_of(megabytes: int) -> bytes:
    """A classic file of about that size, on 64 x 64 points and as many times as it takes."""
    from tests.service import files

    times = max(1, megabytes * MIB // (3 * 64 * 64 * 4))
    return files.netcdf3(files.dataset(0, batch=times, grid=(64, 64)))


def main() -> None:
    """Starts the service, sends one small and one large file, and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--megabytes", type=int, default=100)
    options = parser.parse_args()
    limit = {"MAX_BODY_BYTES": 4, "MAX_DECODED_BYTES": 4, "ARENA_BYTES": 4, "MAX_QUEUE_BYTES": 16}
    settings = {f"EQUIFIELD_{name}": str(times * options.megabytes * MIB) for name, times in limit.items()}
    settings |= {"EQUIFIELD_PAYLOAD_PROCESSES": "1", "EQUIFIELD_REQUEST_TIMEOUT_S": "600"}
    command = [sys.executable, "-m", "equifield_service", "serve", "--port", "0", "--store", str(options.store)]
    with subprocess.Popen(["env", *map("=".join, settings.items()), *command], stdout=subprocess.PIPE) as service:
        if service.stdout is None:
            raise RuntimeError("stdout is piped")
        url = service.stdout.readline().decode().strip().removeprefix(READY)
        try:
            with httpx.Client(base_url=url, timeout=600) as http:
                measure(http, psutil.Process(service.pid), options.model, options.megabytes)
        finally:
            service.terminate()
            service.wait(timeout=60)


def measure(http: httpx.Client, service: psutil.Process, model: str, megabytes: int) -> None:
    """One small request to warm up, then the large one, watched."""
    path = f"/v1/models/{model}/predict"
    http.post(path, content=body_of(1)).raise_for_status()
    body = body_of(megabytes)
    watch = Watch(service)
    idle = sum(watch.look().values())
    watch.start()
    started = time.monotonic()
    answer = http.post(path, content=body)
    seconds = time.monotonic() - started
    watch.over.set()
    watch.join()
    answer.raise_for_status()
    print(f"body {len(body) / MIB:.0f} MiB, answer {len(answer.content) / MIB:.0f} MiB in {seconds:.1f} s")
    print(
        f"idle {idle / MIB:.0f} MiB, peak {watch.peak / MIB:.0f} MiB: {(watch.peak - idle) / len(body):.2f} bodies more"
    )
    print(f"at the peak, per process: {watch.parts}")
    for fraction in range(0, 10):
        at = len(watch.timeline) * fraction // 10
        if watch.timeline:
            moment, total = watch.timeline[at]
            print(f"  {moment:6.2f} s  {(total - idle) / len(body):5.2f} bodies")


if __name__ == "__main__":
    main()
