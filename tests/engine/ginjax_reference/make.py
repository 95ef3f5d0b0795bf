"""Writes what ginjax 0.1.8 answers: `python make.py FOLDER`, where ginjax is installed (dependency group peers).

For each case three files: NAME.json (our configuration and the boundaries), NAME.eqx (the weights, as ginjax saves
them) and NAME.npz (an input, named `in KEY`, and ginjax's output, `out KEY`, both channel-first; a KEY is one letter
per index of the tensor, u up or d down, then the parity). All parameters but the filters are moved at random, as
training does, so that biases and norms are not what they begin with.
"""

import functools
import json
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from ginjax import geometric, layers, models  # type: ignore[import-not-found]
from ginjax.ml import training  # type: ignore[import-not-found]

NETWORK = {"kernel_size": 3, "filter_orders": [0, 1, 2], "filter_parities": [0, 1], "use_bias": "auto"}
FLUID = {"group": "B2", "in_type": "2x scalar + 1x vector", "out_type": "1x scalar + 1x vector"}
VORTEX = {"group": "B2", "in_type": "1x scalar + 2x vector", "out_type": "1x pseudoscalar + 1x vector"}
STRESS = {"group": "B2", "in_type": "1x tensor(2) + 1x vector", "out_type": "1x vector + 1x tensor(2)"}
RESNET = {"architecture": "ResNet", **NETWORK, "num_blocks": 1, "num_conv": 1}
DILATED = {"architecture": "DilResNet", **NETWORK, "num_blocks": 1}
UNET = {"architecture": "UNet", **NETWORK, "num_downsamples": 2, "num_conv": 1}
CONV = {"architecture": "ConvContract", **NETWORK, "stride": 1, "dilation": 1, "transposed": False}

CASES: dict[str, tuple[tuple[int, ...], tuple[bool, ...], dict[str, Any]]] = {
    "resnet": (
        (6, 5),
        (True, True),
        {
            **RESNET,
            **VORTEX,
            "hidden": "3x scalar + 2x pseudoscalar + 3x vector",
            "activation": "gelu",
            "num_blocks": 2,
            "use_group_norm": True,
            "preactivation_order": True,
        },
    ),
    "resnet_post": (
        (4, 6),
        (True, False),
        {
            **RESNET,
            **FLUID,
            "hidden": "2x scalar + 2x vector + 2x pseudovector",
            "activation": "relu",
            "num_conv": 2,
            "use_bias": False,
            "use_group_norm": True,
            "preactivation_order": False,
        },
    ),
    "resnet_tensor": (
        (5, 5),
        (False, True),
        {
            **RESNET,
            **STRESS,
            "hidden": "2x vector + 2x tensor(2) + 1x pseudotensor(2)",
            "activation": "tanh",
            "filter_orders": [0, 1, 2, 3],
            "use_bias": "mean",
            "use_group_norm": False,
            "preactivation_order": True,
        },
    ),
    "resnet_3d": (
        (3, 4, 3),
        (True, False, True),
        {
            **RESNET,
            "group": "B3",
            "in_type": "1x scalar + 1x vector",
            "out_type": "1x vector",
            "hidden": "2x scalar + 1x pseudoscalar + 2x vector",
            "activation": "gelu",
            "use_group_norm": True,
            "preactivation_order": True,
        },
    ),
    "dilresnet": (
        (8, 8),
        (True, True),
        {
            **DILATED,
            **FLUID,
            "in_type": "2x scalar",
            "hidden": "2x scalar + 1x pseudoscalar + 2x vector",
            "activation": "relu",
            "use_bias": "mean",
            "use_group_norm": False,
        },
    ),
    "dilresnet_norm": (
        (9, 6),
        (False, True),
        {
            **DILATED,
            **FLUID,
            "hidden": "3x scalar + 2x vector",
            "activation": "relu",
            "use_group_norm": True,
        },
    ),
    "unet": (
        (8, 8),
        (True, True),
        {
            **UNET,
            **FLUID,
            "hidden": "2x scalar + 1x vector",
            "activation": "gelu",
            "use_group_norm": False,
        },
    ),
    "unet_norm": (
        (8, 6),
        (True, False),
        {
            **UNET,
            **VORTEX,
            "hidden": "1x scalar + 1x pseudoscalar + 2x vector",
            "activation": "gelu",
            "num_downsamples": 1,
            "num_conv": 2,
            "use_group_norm": True,
        },
    ),
    "conv": ((5, 4), (True, False), {**CONV, **VORTEX, "dilation": 2}),
    "conv_covariant": (
        (4, 4),
        (True, True),
        {
            **CONV,
            "group": "flips2",
            "in_type": "2x covector + 1x tensor(ud)",
            "out_type": "1x scalar + 2x covector",
            "filter_orders": [0, 1, 2, 3],
        },
    ),
    "conv_missing": (
        (4, 4),
        (True, True),
        {
            **CONV,
            "group": "B2",
            "in_type": "2x scalar",
            "out_type": "1x scalar + 1x pseudoscalar",
            "use_bias": "scalar",
        },
    ),
    "conv_strided": ((6, 4), (True, False), {**CONV, **FLUID, "kernel_size": 2, "stride": 2}),
    "conv_transposed": ((3, 4), (True, False), {**CONV, **FLUID, "kernel_size": 2, "stride": 2, "transposed": True}),
}
CALM = {"dilresnet_norm"}
"""The cases whose vector neurons mix little: else rounding errors grow too much from norm to norm to compare digits."""

PLUS = {"unet"}
"""The cases saved by `save_plus`, with a line of JSON before the arrays."""

Key = tuple[tuple[bool, ...], int]


def signature(text: str) -> Any:
    """`2x vector + 1x tensor(ud)` as ginjax writes it."""
    entries = []
    for count, pseudo, kind, order in re.findall(r"(\d+)x (pseudo)?([a-z]+)(?:\((\w+)\))?", text):
        order = order or {"scalar": "", "vector": "u", "covector": "d"}[kind]
        indices = "u" * int(order) if order.isdigit() else order
        entries.append(((tuple(index == "d" for index in indices), int(bool(pseudo))), int(count)))
    return geometric.Signature(tuple(entries))


def operators(group: str) -> list[np.ndarray]:
    """The elements of a group, as ginjax takes them."""
    dimension = int(group[-1])
    listed: list[np.ndarray]
    if group.startswith("flips"):
        listed = geometric.make_C2_group(dimension)
    else:
        listed = geometric.make_all_operators(dimension)
    return listed


def filters(config: dict[str, Any], size: int) -> Any:
    """ginjax's filters of one side."""
    return invariant_filters(config["group"], size, tuple(config["filter_orders"]), tuple(config["filter_parities"]))


@functools.cache
def invariant_filters(group: str, size: int, orders: tuple[int, ...], parities: tuple[int, ...]) -> Any:
    """Slow: half a minute for sides of 3 pixels in three dimensions."""
    return geometric.get_invariant_filters([size], orders, parities, int(group[-1]), operators(group))


def build(config: dict[str, Any], key: jax.Array) -> Any:
    """The model of ginjax that a configuration of ours describes."""
    options = {name: signature(config[name]) for name in ("in_type", "out_type", "hidden") if name in config}
    conv_filters = filters(config, config["kernel_size"])
    dimension = conv_filters.D
    if config["architecture"] == "ConvContract":
        stride, size = config["stride"], config["kernel_size"]
        spread = (stride,) * dimension if config["transposed"] else None
        padding = ((size - 1, size - 1),) * dimension if config["transposed"] else "VALID" if stride > 1 else None
        return layers.ConvContract(
            options["in_type"],
            options["out_type"],
            conv_filters,
            config["use_bias"],
            1 if config["transposed"] else stride,
            padding,
            spread,
            config["dilation"],
            key=key,
        )
    arguments = {
        "depth": 0,
        "mid_keys": options["hidden"],
        "conv_filters": conv_filters,
        "activation_f": config["activation"],
        "key": key,
    }
    for name in ("num_blocks", "num_conv", "num_downsamples", "use_bias", "use_group_norm", "preactivation_order"):
        if name in config:
            arguments[name] = config[name]
    if config["architecture"] == "UNet":
        arguments["upsample_filters"] = filters(config, 2)
    network = getattr(models, config["architecture"])
    return network(dimension, options["in_type"], options["out_type"], **arguments)


def trained(model: Any, key: jax.Array, calm: bool = False) -> Any:
    """The model with all parameters but the filters moved at random, and `calm` mixtures moved to the identity."""

    def move(path: Any, leaf: Any) -> Any:
        if not eqx.is_array(leaf) or "invariant_filters" in jax.tree_util.keystr(path):
            return leaf
        fresh = jr.fold_in(key, zlib.crc32(jax.tree_util.keystr(path).encode()))
        moved = leaf + 0.1 * jr.normal(fresh, leaf.shape)
        return moved + 2 * jnp.eye(len(leaf)) if calm and ".nonlinearity" in jax.tree_util.keystr(path) else moved

    return jax.tree_util.tree_map_with_path(move, model)


def image(text: str, grid: tuple[int, ...], is_torus: tuple[bool, ...], key: jax.Array) -> Any:
    """An image of random numbers."""
    blocks = {}
    for (indices, parity), channels in signature(text):
        key, fresh = jr.split(key)
        blocks[indices, parity] = jr.normal(fresh, (channels, *grid, *(len(grid),) * len(indices)))
    return geometric.MultiImage(blocks, len(grid), is_torus)


def named(prefix: str, fields: Any) -> dict[str, np.ndarray]:
    """The arrays of an image under the names they have in a file."""
    return {
        f"{prefix} {''.join('d' if down else 'u' for down in indices)}{parity}": np.asarray(block, np.float32)
        for (indices, parity), block in fields.items()
    }


def save(path: Path, arrays: dict[str, Any]) -> None:
    """One compressed file of several arrays."""
    np.savez_compressed(path, **arrays)


def main(folder: Path) -> None:
    """Writes the files of every case."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, (grid, is_torus, config)) in enumerate(CASES.items()):
        first, second, third = jr.split(jr.key(number), 3)
        model = trained(build(config, first), second, name in CALM)
        taken = image(config["in_type"], grid, is_torus, third)
        given = eqx.filter_jit(lambda model, x: model(x))(model, taken)
        given = given[0] if isinstance(given, tuple) else given
        if name in PLUS:
            training.save_plus(folder / f"{name}.eqx", model, {"D": len(grid)})
        else:
            training.save(folder / f"{name}.eqx", model)
        save(folder / f"{name}.npz", named("in", taken) | named("out", given))
        (folder / f"{name}.json").write_text(json.dumps({"is_torus": is_torus, "config": config}, indent=1) + "\n")
    normalise(folder)


def normalise(folder: Path) -> None:
    """A norm whose channels form two groups; our networks hold none, so its parameters are in the same file."""
    text = "4x scalar + 2x pseudoscalar + 4x vector"
    first, second = jr.split(jr.key(99))
    norm = trained(layers.GroupNorm(signature(text), 2, 2), first)
    taken = image(text, (4, 5), (True, True), second)
    parameters = {f"scale {len(k)}{p}": scale for (k, p), scale in norm.scale.items()}
    parameters |= {f"shift {len(k)}{p}": shift for (k, p), shift in norm.bias.items()}
    for (k, p), vanilla in norm.vanilla_norm.items():
        parameters |= {f"scale {len(k)}{p}": vanilla.weight, f"shift {len(k)}{p}": vanilla.bias}
    parameters = {name: np.asarray(array, np.float32) for name, array in parameters.items()}
    save(folder / "group_norm.npz", named("in", taken) | named("out", norm(taken)) | parameters)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
