"""What a ginjax model was built from, as plain values."""

from collections.abc import Iterable
from typing import Any

from ...field_type import FieldType
from ...groups import Group, hyperoctahedral
from ...nn._activations import activation_named
from ...representations import Tensor
from ._images import Key

ACTIVATIONS = ("relu", "gelu", "tanh", "silu", "elu", "leaky_relu", "sigmoid", "softplus")
"""What ginjax's models are given as functions, or, the first three, by these names."""


def configuration(model: Any, group: Group | None = None) -> dict[str, Any]:
    """What a `ResNet`, `DilResNet`, `UNet` or `ConvContract` of ginjax was built from: values that JSON can hold.

    **Arguments:**

    - model: the ginjax object; ginjax itself is not imported.
    - group: the group whose filters it was given, which ginjax does not keep; all rotations and reflections of the
        grid by default.

    **Raises:** `ValueError` for another class, and for settings under which no equivariant network of ours is equal.
    """
    architecture = type(model).__name__
    if architecture not in READERS:
        raise ValueError(f"A {architecture} of ginjax's has no counterpart here; {', '.join(READERS)} have.")
    if not getattr(model, "equivariant", True):
        raise ValueError(f"This {architecture} is a plain network, `equivariant=False`; only equivariant ones convert.")
    group = hyperoctahedral(int(model.D)) if group is None else group
    common = {
        "architecture": architecture,
        "group": str(group),
        "in_type": str(_field_type(model.input_keys)),
        "use_bias": _use_bias(model.use_bias),
    }
    return common | READERS[architecture](model)


def _resnet(model: Any) -> dict[str, Any]:
    return _network(model, model.encoder[0].conv) | {
        "num_blocks": len(model.blocks),
        "num_conv": len(model.blocks[0]) if model.blocks else 1,
        "preactivation_order": bool(model.preactivation_order),
    }


def _dilated(model: Any) -> dict[str, Any]:
    return _network(model, model.encoder[0].conv) | {"num_blocks": len(model.blocks)}


def _unet(model: Any) -> dict[str, Any]:
    return _network(model, model.embedding[0].conv) | {
        "num_downsamples": len(model.downsample_blocks),
        "num_conv": len(model.embedding),
    }


def _network(model: Any, conv: Any) -> dict[str, Any]:
    return {
        "out_type": str(_field_type(model.output_keys)),
        "hidden": str(_field_type(model.mid_keys)),
        "activation": _activation_name(model.activation_f),
        "use_group_norm": bool(model.use_group_norm),
        **_filters(conv),
    }


def _convolution(conv: Any) -> dict[str, Any]:
    filters = _filters(conv)
    return {"out_type": str(_field_type(conv.target_keys)), **filters, **_stencil(conv, filters["kernel_size"])}


def _filters(conv: Any) -> dict[str, Any]:
    blocks = conv.invariant_filters.data
    sides = {side for block in blocks.values() for side in block.shape[1 : 1 + conv.D]}
    if len(sides) != 1:
        raise ValueError(f"Filters of one side M convert, but these have {sorted(sides)}.")
    return {
        "kernel_size": sides.pop(),
        "filter_orders": sorted({len(indices) for indices, _ in blocks}),
        "filter_parities": sorted({parity for _, parity in blocks}),
    }


def _stencil(conv: Any, size: int) -> dict[str, Any]:
    """How our convolution says the same; where ginjax pads by numbers, the pixels beyond the edge must not matter."""
    stride, dilation, spread = (_one(each) for each in (conv.stride, conv.rhs_dilation, conv.lhs_dilation or 1))
    extent = (size - 1) * dilation + 1
    padding = {None: "TORUS", "VALID": 0}.get(conv.padding, conv.padding)
    if isinstance(padding, tuple):
        padding = _one(tuple(width for pair in padding for width in pair))
    if padding == "TORUS" and stride == spread == 1 and size % 2 == 1:
        return {"stride": 1, "dilation": dilation, "transposed": False}
    if padding == 0 and spread == 1 and extent == stride:
        return {"stride": stride, "dilation": dilation, "transposed": False}
    if padding == extent - 1 and stride == 1 and spread == extent:
        return {"stride": spread, "dilation": dilation, "transposed": True}
    raise ValueError(
        f"A ConvContract with filters of side {size}, stride={conv.stride}, padding={conv.padding}, "
        f"lhs_dilation={conv.lhs_dilation} and rhs_dilation={conv.rhs_dilation} has no equal here: its outputs do "
        f"not lie symmetrically, or it cuts a torus open. Convertible are padding=None with stride 1 and odd filters, "
        f"a stride equal to the extent of the filter without padding, and the transposed of the latter."
    )


READERS = {"ResNet": _resnet, "DilResNet": _dilated, "UNet": _unet, "ConvContract": _convolution}


def _one(setting: int | tuple[int, ...]) -> int:
    values = {setting} if isinstance(setting, int) else set(setting)
    if len(values) != 1:
        raise ValueError(f"Settings that are equal along all axes convert, but this one is {setting}.")
    return int(values.pop())


def _field_type(signature: Iterable[tuple[Key, int]]) -> FieldType:
    return FieldType(
        {Tensor(len(indices), parity, tuple(indices)): channels for (indices, parity), channels in signature}
    )


def _use_bias(use_bias: str | bool) -> str | bool:
    if use_bias is True:
        raise ValueError(
            "With `use_bias=True` ginjax 0.1.8 gives images without any field. What was meant is `use_bias='auto'`."
        )
    return use_bias


def _activation_name(activation: Any) -> str | None:
    if activation is None:
        return None
    names = [name for name in ACTIVATIONS if activation in (name, activation_named(name))]
    if not names:
        raise ValueError(f"The activation {activation} has no name here. Known: {', '.join(ACTIVATIONS)}.")
    return names[0]
