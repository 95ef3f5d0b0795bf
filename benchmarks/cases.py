"""What is compared."""

from typing import Any

Case = dict[str, Any]
NETWORK = {"kernel_size": 3, "filter_parities": [0, 1], "use_bias": "auto", "use_group_norm": False}
FLUID = {"in_type": "2x scalar + 1x vector", "out_type": "2x scalar + 1x vector"}
SIZES: dict[str, dict[str, Any]] = {
    "ResNet": {"activation": "gelu", "num_blocks": 8, "num_conv": 2, "preactivation_order": True},
    "DilResNet": {"activation": "relu", "num_blocks": 4},
    "UNet": {"activation": "gelu", "num_downsamples": 3, "num_conv": 2},
}
NAMES = ("scalar", "vector", "tensor(2)")
PRECISIONS = ("float32", "tf32", "bfloat16")


def network(
    architecture: str,
    channels: int,
    side: int,
    *,
    batch: int = 1,
    group: str = "B2",
    order: int = 1,
    blocks: int | None = None,
    step: bool = False,
) -> Case:
    """A network of ginjax without normalisation, with as many fields of each order up to the highest in every layer.

    **Arguments:**

    - blocks: how many residual blocks, if not as many as in `SIZES`.
    - step: whether a step of training is compared too, which takes a minute to compile.
    """
    config = {
        "architecture": architecture,
        "group": group,
        **NETWORK,
        **FLUID,
        **SIZES[architecture],
        "filter_orders": list(range(2 * order + 1)),
        "hidden": fields(channels, order),
    }
    if blocks is not None:
        config["num_blocks"] = blocks
    peers = ["ginjax"] if architecture == "UNet" or group != "B2" else ["ginjax", "escnn"]
    grid = [side] * int(group[-1])
    return {"kind": "network", "config": config, "grid": grid, "batch": batch, "peers": peers, "step": step}


def layer(group: str, order: int, channels: int, side: int, batch: int = 1) -> Case:
    """One convolution between as many fields of each order up to the highest."""
    grid = [side] * int(group[-1])
    return {"kind": "layer", "group": group, "hidden": fields(channels, order), "grid": grid, "batch": batch}


def fields(channels: int, order: int) -> str:
    """So many fields of each order up to the highest."""
    return " + ".join(f"{channels}x {name}" for name in NAMES[: order + 1])


def networks(quick: bool) -> list[Case]:
    """The networks that are compared."""
    if quick:
        return [network("ResNet", 16, 64)]
    return [
        network("ResNet", 8, 64),
        network("ResNet", 16, 64),
        network("ResNet", 16, 64, batch=8),
        network("ResNet", 48, 64, step=True),
        network("DilResNet", 48, 64),
        network("UNet", 20, 64),
        network("ResNet", 16, 64, order=2, blocks=2),
        network("ResNet", 16, 16, group="B3", blocks=2),
        network("ResNet", 8, 32, group="B3", blocks=2),
    ]


def layers(quick: bool) -> list[Case]:
    """The layers that are compared."""
    if quick:
        return [layer("B2", 1, channels, 64) for channels in (8, 48)]
    plane = [layer("B2", 1, channels, 64) for channels in (8, 16, 32, 48, 96)]
    batches = [layer("B2", 1, channels, 64, 8) for channels in (8, 16, 48)]
    tensors = [layer("B2", 2, channels, 64) for channels in (16, 48)]
    return [*plane, *batches, layer("B2", 1, 16, 128), *tensors, layer("B3", 1, 16, 16), layer("B3", 1, 48, 32)]


def builds(quick: bool) -> list[Case]:
    """The networks that are built, each by processes that have built nothing before."""
    return [] if quick else [network("UNet", 48, 64)]


def precisions(device: str, quick: bool) -> list[Case]:
    """The widest layer in every precision, beside a plain matrix product."""
    widest = layer("B2", 1, 96, 64, batch=8 if device == "gpu" else 1)
    side = 4096 if device == "gpu" else 1024
    return [] if quick else [widest | {"kind": "precisions", "precisions": PRECISIONS, "side": side}]
