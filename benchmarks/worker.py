"""One side of a comparison: a process that builds models when told to, and times them one call at a time.

    python worker.py ginjax|equifield

It reads one JSON object per line and answers each with one: `{"build": case}` with the names of the programs it has
compiled, what that took and the memory they need; `{"time": name}` with the seconds of one call; `{"output": name}`
with the file that the output has been written to. Two such processes are asked in turn, so that whatever else the
machine does happens to both.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

Program = tuple[Callable[..., Any], tuple[Any, ...]]


def compiled(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Program, dict[str, float]]:
    """A program for these arguments, after its first run, what compiling took and the bytes it works in."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    jax.block_until_ready(program(*arguments))  # type: ignore[no-untyped-call]
    memory: Any = program.memory_analysis()
    return (program, arguments), {"compile_s": seconds, "temp_bytes": float(memory.temp_size_in_bytes)}


def main(side: str) -> None:
    """Answers until there is no more to read."""
    backend = importlib.import_module(f"{side}_programs")
    programs: dict[str, Program] = {}
    answer: dict[str, Any]
    for line in sys.stdin:
        match json.loads(line):
            case {"build": case, "folder": folder}:
                start = time.perf_counter()
                functions = backend.programs(case, Path(folder))
                answer = {"build_s": time.perf_counter() - start}
                for name, (function, arguments) in functions.items():
                    programs[name], answer[name] = compiled(function, arguments)
            case {"time": name}:
                program, arguments = programs[name]
                start = time.perf_counter()
                jax.block_until_ready(program(*arguments))  # type: ignore[no-untyped-call]
                answer = {"seconds": time.perf_counter() - start}
            case {"output": name, "folder": folder}:
                program, arguments = programs[name]
                path = Path(folder) / f"{side} {name}.npz"
                np.savez(path, **{str(i): leaf for i, leaf in enumerate(jax.tree.leaves(program(*arguments)))})
                answer = {"path": str(path)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
