"""A process that measures the function alone, whenever a line with seconds comes on its standard input."""

import json
import sys
import time

import numpy as np

from benchmarks.serving.model import FEATURES, GRID, LARGEST, Convolution

ROUNDS = 5


def main() -> None:
    """Answers every line with the samples per second of full batches, the median of some rounds."""
    run = Convolution()
    batch = np.random.default_rng(0).standard_normal((LARGEST, *GRID, FEATURES)).astype(np.float32)
    for line in sys.stdin:
        seconds = float(line) / ROUNDS
        rates = []
        for _ in range(ROUNDS):
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                run(batch)
                count += LARGEST
            rates.append(count / (time.perf_counter() - began))
        print(json.dumps(float(np.median(rates))), flush=True)


if __name__ == "__main__":
    main()
