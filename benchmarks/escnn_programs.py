"""What escnn 1.0.11 runs: the nearest layers and residual networks that it has, in evaluation mode.

In that mode its convolutions are PyTorch's own with a kernel expanded once. Its `export` gives no more than that and
forgets circular padding, so it is not used. Fields are irreps of the same group: scalars trivial, vectors as they
are, tensors of order 2 what they decompose into. Scalars pass an ELU, all else a norm nonlinearity. Its weights mean
something else than ours, so outputs are not compared.
"""

import functools
import os
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found]
from escnn import gspaces, nn  # type: ignore[import-not-found]

from benchmarks.program import Program

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DILATIONS = (1, 2, 4, 8, 4, 2, 1)
Layer = Callable[[Any], Any]

torch.set_num_threads(len(os.sched_getaffinity(0)))
torch.backends.cudnn.allow_tf32 = False


def about() -> dict[str, str]:
    """The device and the versions."""
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE
    return {"device": device, "torch": version("torch"), "escnn": version("escnn")}


def make(case: dict[str, Any]) -> Layer:
    """The residual network of a case, or its single convolution."""
    if case["kind"] == "layer":
        fields = field_type(case["group"], case["hidden"])
        layer: Layer = conv(fields, fields)
        return layer
    return residual(case["config"])


def programs(case: dict[str, Any], folder: Path) -> dict[str, Program]:
    """A forward pass."""
    model = make(case)
    group, text = (case.get("config", case)[name] for name in ("group", "in_type" if "config" in case else "hidden"))
    fields = field_type(group, text)
    given = torch.randn(case["batch"], fields.size, *case["grid"], device=DEVICE)

    def run() -> Any:
        with torch.inference_mode():
            output = model(nn.GeometricTensor(given, fields)).tensor
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return output

    run()
    return {"forward": Program(run, lambda: (), lambda output: [np.asarray(output.cpu())], {})}


@functools.cache
def space(group: str) -> Any:
    """The grid with its symmetries."""
    return gspaces.flipRot2dOnR2(N=4) if group == "B2" else gspaces.fullOctaOnR3()


def field_type(group: str, text: str) -> Any:
    """`2x scalar + 1x vector` as escnn has it."""
    symmetry = space(group).fibergroup
    vector = symmetry.irrep(*space(group).basespace_action.irreps[0])
    known = {
        "scalar": [symmetry.trivial_representation],
        "vector": [vector],
        "tensor(2)": [symmetry.irrep(*irrep) for irrep in vector.tensor(vector).irreps],
    }
    entries = re.findall(r"(\d+)x ([^ ]+)", text)
    return nn.FieldType(space(group), [irrep for count, name in entries for irrep in int(count) * known[name]])


def conv(in_type: Any, out_type: Any, dilation: int = 1) -> Any:
    """A periodic convolution of 3 pixels a side, its kernel expanded."""
    kind = nn.R2Conv if in_type.gspace.dimensionality == 2 else nn.R3Conv
    return kind(in_type, out_type, 3, padding=dilation, dilation=dilation, padding_mode="circular").to(DEVICE).eval()


def activation(fields: Any) -> Any:
    """ELU for the scalars, which come first, and a norm nonlinearity for all other fields."""
    scalars = next(n for n, field in enumerate(fields.representations) if not field.is_trivial())
    labels = ["scalar"] * scalars + ["other"] * (len(fields) - scalars)
    grouped = fields.group_by_labels(labels)
    parts = [(nn.ELU(grouped["scalar"]), "scalar"), (nn.NormNonLinearity(grouped["other"]), "other")]
    return nn.MultipleModule(fields, labels, parts).to(DEVICE).eval()


def residual(config: dict[str, Any]) -> Layer:
    """As many convolutions, activations and residual connections as the ResNet or DilResNet of a configuration."""
    names = ("in_type", "hidden", "out_type")
    in_type, hidden, out_type = (field_type(config["group"], config[name]) for name in names)
    dilated = config["architecture"] == "DilResNet"
    dilations = DILATIONS if dilated else (1,) * config["num_conv"]
    encoder = [conv(in_type, hidden), activation(hidden), conv(hidden, hidden), activation(hidden)]
    blocks = []
    for _ in range(config["num_blocks"]):
        pairs = ((conv(hidden, hidden, dilation), activation(hidden)) for dilation in dilations)
        blocks.append([layer for pair in pairs for layer in (pair if dilated else pair[::-1])])
    decoder = [conv(hidden, hidden), activation(hidden), conv(hidden, out_type)]

    def network(fields: Any) -> Any:
        fields = in_series(encoder, fields)
        for block in blocks:
            fields = fields + in_series(block, fields)
        return in_series(decoder, fields)

    return network


def in_series(layers: list[Any], fields: Any) -> Any:
    """One layer after another."""
    for layer in layers:
        fields = layer(fields)
    return fields
