"""One side of a comparison: a process that builds models when told to, and times them one call at a time.

    python -m benchmarks.worker equifield|ginjax|escnn

It reads one JSON object per line and answers each with one: `{"about": ""}` with its device and versions;
`{"make": case}` with the seconds that building a network takes, and how many of them went into XLA's compiler;
`{"build": case}` with the facts of the programs that are then ready; `{"time": name}` with the seconds of one call;
`{"output": name}` with the file that the output has been written to. The processes are asked in turn, so that whatever
else the machine does happens to all of them.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.program import Program


def seconds(program: Program) -> float:
    """How long one call takes."""
    arguments = program.arguments()
    start = time.perf_counter()
    program.run(*arguments)
    return time.perf_counter() - start


def main(side: str) -> None:
    """Answers until there is no more to read. What libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    backend = importlib.import_module(f"benchmarks.{side}_programs")
    programs: dict[str, Program] = {}
    answer: dict[str, Any]
    for line in sys.stdin:
        match json.loads(line):
            case {"about": _}:
                answer = backend.about()
            case {"make": case}:
                start, before = time.perf_counter(), backend.compiling()
                backend.make(case)
                answer = {"seconds": time.perf_counter() - start, "compiling": backend.compiling() - before}
            case {"build": case, "folder": folder}:
                programs.clear()
                programs |= backend.programs(case, Path(folder))
                answer = {name: program.facts for name, program in programs.items()}
            case {"time": name}:
                answer = {"seconds": seconds(programs[name])}
            case {"output": name, "folder": folder}:
                program, path = programs[name], Path(folder) / f"{side} {name}.npz"
                leaves = program.output(program.run(*program.arguments()))
                np.savez(path, *leaves)
                answer = {"path": str(path)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
