"""Programs of JAX, of either side."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Compiled

from benchmarks.program import Program

COMPILING = "/jax/core/compile/backend_compile_duration"
_compiling: list[float] = []


def _listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event == COMPILING:
        _compiling.append(duration_secs)


jax.monitoring.register_event_duration_secs_listener(_listen)


def compiling() -> float:
    """The seconds that this process has spent in XLA's compiler so far."""
    return sum(_compiling)


def about() -> dict[str, str]:
    """The device that programs run on, and the version of JAX."""
    return {"device": jax.devices()[0].device_kind, "jax": version("jax")}


def compiled(function: Callable[..., Any], *arguments: Any) -> Program:
    """A function compiled for these arguments, which it leaves as they are."""
    return ready(jax.jit(function).lower(*arguments).compile(), lambda: arguments)


def ready(program: Compiled, arguments: Callable[[], tuple[Any, ...]]) -> Program:
    """A compiled program after its first run, with the bytes it works in and those it holds altogether."""

    def run(*arguments: Any) -> Any:
        return jax.block_until_ready(program(*arguments))  # type: ignore[no-untyped-call]

    run(*arguments())
    memory: Any = program.memory_analysis()
    temporary = memory.temp_size_in_bytes
    outside = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    facts = {"temp_bytes": float(temporary), "peak_bytes": float(temporary + outside)}
    return Program(run, arguments, lambda output: [np.asarray(leaf) for leaf in jax.tree.leaves(output)], facts)


def fresh(array: jax.Array) -> jax.Array:
    """A copy that a program may use up."""
    copy: jax.Array = jax.block_until_ready(jnp.array(array, copy=True))  # type: ignore[no-untyped-call]
    return copy
