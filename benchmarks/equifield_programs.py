"""What Equifield runs: the networks of ginjax with the same weights, folded; layers in both forms; and plain twins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named, trivial
from equifield.inference import BasisFirstConv, DenseConv, fold
from equifield.interop import ginjax
from equifield.multi_image import random_image
from equifield.nn import Conv
from equifield.representations import scalar

TORUS: tuple[Boundary, ...] = ("periodic", "periodic", "periodic")
Functions = dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]


def programs(case: dict[str, Any], folder: Path) -> Functions:
    """For a network a forward pass, a step and that of the twin; for a layer both forms and its twin."""
    return _layer(case) if "hidden" in case else _network(case, folder)


def _network(case: dict[str, Any], folder: Path) -> Functions:
    network: Any = ginjax.load_eqx(folder / "model.eqx", case["config"])
    torus = (True,) * len(case["grid"])
    with np.load(folder / "input.npz") as file:
        keys = {name: ((False,) * int(name.split()[0]), int(name.split()[1])) for name in file}
        image = ginjax.from_blocks({keys[name]: file[name] for name in file}, torus)
    twin = _twin(case["config"])
    plain = MultiImage(image.array, FieldType({scalar: image.array.shape[-1]}), image.boundary)
    functions = {
        "forward": (_forward, fold(network), image),
        "step": (_step, network, image),
        "twin": (_forward, fold(twin), plain),
        "twin step": (_step, twin, plain),
    }
    return {name: _program(*what) for name, what in functions.items()}


def _layer(case: dict[str, Any]) -> Functions:
    group, fields = group_named(case["group"]), FieldType.parse(case["hidden"])
    boundary = TORUS[: group.dimension]
    image = random_image(fields, boundary, tuple(case["grid"]), batch=(case["batch"],), key=jr.key(0))
    layer = Conv(group, fields, fields, key=jr.key(1))
    features = FieldType({scalar: fields.size(group.dimension)})
    twin = fold(Conv(trivial(group.dimension), features, features, key=jr.key(2)), DenseConv)
    forms = {"dense": fold(layer, DenseConv), "basis-first": fold(layer, BasisFirstConv), "forward": fold(layer)}
    functions = {name: _program(_forward, folded, image) for name, folded in forms.items()}
    return functions | {"twin": _program(_forward, twin, MultiImage(image.array, features, boundary))}


def _twin(config: dict[str, Any]) -> Any:
    """The unconstrained network with as many features in every layer: the same one for the group without symmetries."""
    ndim = group_named(config["group"]).dimension
    sizes = {name: FieldType.parse(config[name]).size(ndim) for name in ("in_type", "out_type", "hidden")}
    plain = {name: f"{size}x scalar" for name, size in sizes.items()}
    return ginjax.build(config | plain | {"group": f"trivial{ndim}"}, key=jr.key(0))


def _program(function: Callable[..., Any], model: Any, image: MultiImage) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    arrays, static = eqx.partition(model, eqx.is_array)

    def run(arrays: Any, array: jax.Array) -> Any:
        return function(eqx.combine(arrays, static), image.with_array(array))

    return run, (arrays, image.array)


def _forward(model: Any, image: MultiImage) -> jax.Array:
    return jnp.asarray(model(image).array)


def _step(model: Any, image: MultiImage) -> Any:
    gradient = eqx.filter_grad(lambda model: jnp.mean(model(image).array ** 2))(model)
    return eqx.apply_updates(model, jax.tree.map(lambda slope: -1e-4 * slope, gradient))
