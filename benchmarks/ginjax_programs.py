"""What ginjax 0.1.8 runs: its own networks, vmapped over the batch and compiled, as its training loop does it."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from ginjax import geometric  # type: ignore[import-not-found]
from ginjax.ml import training  # type: ignore[import-not-found]

from benchmarks import jax_programs
from benchmarks.program import Program
from tests.engine.ginjax_reference import make as reference


def about() -> dict[str, str]:
    """The device and the versions."""
    return jax_programs.about() | {"ginjax": version("ginjax")}


compiling = jax_programs.compiling


def make(case: dict[str, Any]) -> Any:
    """The network of a case with its filters, which are kept for the next one."""
    return jax.block_until_ready(reference.build(case["config"], jr.key(0)))  # type: ignore[no-untyped-call]


def programs(case: dict[str, Any], folder: Path) -> dict[str, Program]:
    """A forward pass and, if asked, a step of gradient descent; weights and input are left in `folder`."""
    model = make(case)
    training.save(folder / "model.eqx", model)
    grid, torus = tuple(case["grid"]), (True,) * len(case["grid"])
    single = reference.image(case["config"]["in_type"], grid, torus, jr.key(1))
    blocks = {key: jr.normal(jr.key(2), (case["batch"], *block.shape)) for key, block in single.items()}
    reference.save(folder / "input.npz", {f"{len(k)} {p}": np.asarray(block) for (k, p), block in blocks.items()})
    arrays, static = eqx.partition(model, eqx.is_array)

    def forward(arrays: Any, blocks: Any) -> Any:
        model = eqx.combine(arrays, static)

        def one(blocks: Any) -> Any:
            output = model(geometric.MultiImage(blocks, len(grid), torus))
            return (output[0] if isinstance(output, tuple) else output).data

        return jax.vmap(one)(blocks)

    def loss(arrays: Any, blocks: Any) -> jax.Array:
        return sum((jnp.mean(block**2) for block in forward(arrays, blocks).values()), jnp.zeros(()))

    def step(arrays: Any, blocks: Any) -> Any:
        return jax.tree.map(lambda weight, slope: weight - 1e-4 * slope, arrays, jax.grad(loss)(arrays, blocks))

    functions = {"forward": forward} | ({"step": step} if case["step"] else {})
    return {name: jax_programs.compiled(function, arrays, blocks) for name, function in functions.items()}
