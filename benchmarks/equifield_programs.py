"""What Equifield runs: the networks of ginjax with the same weights, folded; layers in both forms; and plain twins.

Whatever is not a training step is compiled by `compile_model`, as it is for serving.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from benchmarks import jax_programs
from benchmarks.program import Program
from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named, trivial
from equifield.inference import BasisFirstConv, DenseConv, Precision, compile_model, fold
from equifield.interop import ginjax
from equifield.multi_image import random_image
from equifield.nn import Conv
from equifield.representations import scalar

TORUS: tuple[Boundary, ...] = ("periodic", "periodic", "periodic")
FORMS: dict[str, type[DenseConv] | type[BasisFirstConv]] = {"dense": DenseConv, "basis-first": BasisFirstConv}


def about() -> dict[str, str]:
    """The device and the versions."""
    return jax_programs.about() | {"equifield": version("equifield")}


compiling = jax_programs.compiling


def make(case: dict[str, Any]) -> Any:
    """The network of a case, folded."""
    network: Any = ginjax.build(case["config"], key=jr.key(0))
    return jax.block_until_ready(eqx.filter(fold(network), eqx.is_array))  # type: ignore[no-untyped-call]


def programs(case: dict[str, Any], folder: Path) -> dict[str, Program]:
    """The programs that a case compares; a network and its input are in `folder`, if ginjax takes part."""
    match case["kind"]:
        case "network":
            return _network(case, folder)
        case "layer":
            return _layer(case)
    return _precisions(case)


def _network(case: dict[str, Any], folder: Path) -> dict[str, Program]:
    """A forward pass and, if asked, a training step of a network and of its twin."""
    network, image = _from_ginjax(case, folder) if "ginjax" in case["peers"] else _with_fresh_weights(case)
    twin = _twin(case["config"])
    plain = MultiImage(image.array, FieldType({scalar: image.array.shape[-1]}), image.boundary)
    forward = {"forward": _served(fold(network), image), "twin": _served(fold(twin, DenseConv), plain)}
    return forward | ({"step": _step(network, image), "twin step": _step(twin, plain)} if case["step"] else {})


def _from_ginjax(case: dict[str, Any], folder: Path) -> tuple[Any, MultiImage]:
    with np.load(folder / "input.npz") as file:
        keys = {name: ((False,) * int(name.split()[0]), int(name.split()[1])) for name in file}
        image = ginjax.from_blocks({keys[name]: file[name] for name in file}, (True,) * len(case["grid"]))
    return ginjax.load_eqx(folder / "model.eqx", case["config"]), image


def _with_fresh_weights(case: dict[str, Any]) -> tuple[Any, MultiImage]:
    return ginjax.build(case["config"], key=jr.key(0)), _noise(FieldType.parse(case["config"]["in_type"]), case)


def _twin(config: dict[str, Any]) -> Any:
    """The unconstrained network with as many features in every layer: the same one for the group without symmetries."""
    ndim = group_named(config["group"]).dimension
    sizes = {name: FieldType.parse(config[name]).size(ndim) for name in ("in_type", "out_type", "hidden")}
    plain = {name: f"{size}x scalar" for name, size in sizes.items()}
    return ginjax.build(config | plain | {"group": f"trivial{ndim}"}, key=jr.key(0))


def _layer(case: dict[str, Any]) -> dict[str, Program]:
    """Both forms of a convolution, the one that is chosen, and an ordinary convolution with as many features."""
    layer, image = _conv(case)
    ndim = layer.group.dimension
    features = FieldType({scalar: layer.in_type.size(ndim)})
    twin = fold(Conv(trivial(ndim), features, features, key=jr.key(2)), DenseConv)
    programs = {name: _served(fold(layer, form), image) for name, form in FORMS.items()}
    chosen = next(name for name, form in FORMS.items() if isinstance(fold(layer), form))
    plain = _served(twin, MultiImage(image.array, features, image.boundary))
    return programs | {"forward": programs[chosen], "twin": plain}


def _precisions(case: dict[str, Any]) -> dict[str, Program]:
    """A folded layer, and a plain matrix product of a given side, in every precision."""
    layer, image = _conv(case)
    found = {}
    for precision in case["precisions"]:
        found[f"layer {precision}"] = _served(fold(layer), image, precision)
        kind = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
        digits = jax.lax.Precision.HIGHEST if precision == "float32" else jax.lax.Precision.DEFAULT

        def product(left: jax.Array, right: jax.Array, digits: jax.lax.Precision = digits) -> jax.Array:
            return jnp.matmul(left, right, precision=digits, preferred_element_type=jnp.float32)

        factors = jr.normal(jr.key(3), (2, case["side"], case["side"]), kind)
        found[f"product {precision}"] = jax_programs.compiled(product, factors[0], factors[1])
    arrays, static = eqx.partition(fold(layer), eqx.is_array)

    def run(arrays: Any, array: jax.Array) -> jax.Array:
        return jnp.asarray(eqx.combine(arrays, static)(image.with_array(array)).array)

    analysis: Any = jax.jit(run).lower(arrays, image.array[:1]).cost_analysis()
    found[f"layer {case['precisions'][0]}"].facts["flops"] = case["batch"] * analysis["flops"]
    return found


def _conv(case: dict[str, Any]) -> tuple[Conv, MultiImage]:
    fields = FieldType.parse(case["hidden"])
    return Conv(group_named(case["group"]), fields, fields, key=jr.key(1)), _noise(fields, case)


def _noise(fields: FieldType, case: dict[str, Any]) -> MultiImage:
    grid = tuple(case["grid"])
    return random_image(fields, TORUS[: len(grid)], grid, batch=(case["batch"],), key=jr.key(0))


def _served(model: Any, image: MultiImage, precision: Precision = "float32") -> Program:
    batch, *grid, _ = image.array.shape
    options: Any = {"grids": [tuple(grid)], "batches": [batch], "boundary": image.boundary, "precision": precision}
    (((_, size), program),) = compile_model(model, image.field_type, **options).programs.items()
    weights, parts = eqx.filter(model, eqx.is_array), [image.array[n : n + size] for n in range(0, batch, size)]
    facts = dict(jax_programs.ready(program, lambda: (weights, jax_programs.fresh(parts[0]))).facts)

    def run(*parts: jax.Array) -> Any:
        return jax.block_until_ready([program(weights, part) for part in parts])  # type: ignore[no-untyped-call]

    others = run(*map(jax_programs.fresh, parts))[1:]
    facts["peak_bytes"] += sum(array.nbytes for array in (*parts[1:], *others))

    def arguments() -> tuple[jax.Array, ...]:
        return tuple(map(jax_programs.fresh, parts))

    return Program(run, arguments, lambda outputs: [np.concatenate([np.asarray(part) for part in outputs])], facts)


def _step(model: Any, image: MultiImage) -> Program:
    arrays, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(arrays: Any, array: jax.Array) -> jax.Array:
        return jnp.mean(eqx.combine(arrays, static)(image.with_array(array)).array ** 2)

    def step(arrays: Any, array: jax.Array) -> Any:
        return jax.tree.map(lambda weight, slope: weight - 1e-4 * slope, arrays, jax.grad(loss)(arrays, array))

    return jax_programs.compiled(step, arrays, image.array)
