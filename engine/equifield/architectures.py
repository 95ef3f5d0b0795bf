"""From a manifest's configuration to a network."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import PRNGKeyArray

from .field_type import FieldType
from .groups import Group, flips
from .interop.ginjax import GinjaxDilResNet, GinjaxResNet, GinjaxUNet
from .models import (
    AbstractNetwork,
    AnyGrid,
    Climate1D,
    DilatedResNet,
    Interpolation,
    LastStep,
    PlainDilatedResNet,
    PlainResNet,
    PlainSimpleConv,
    PlainSuperResolution,
    PlainUNet,
    Residual,
    ResNet,
    SimpleConv,
    SuperResolution,
    UNet,
    zonal_type,
)

_NETWORKS: dict[str, Callable[..., AbstractNetwork]] = {
    "DilatedResNet": DilatedResNet,
    "GinjaxDilResNet": GinjaxDilResNet,
    "GinjaxResNet": GinjaxResNet,
    "GinjaxUNet": GinjaxUNet,
    "Interpolation": Interpolation,
    "LastStep": LastStep,
    "PlainDilatedResNet": PlainDilatedResNet,
    "PlainResNet": PlainResNet,
    "PlainSimpleConv": PlainSimpleConv,
    "PlainSuperResolution": PlainSuperResolution,
    "PlainUNet": PlainUNet,
    "ResNet": ResNet,
    "SimpleConv": SimpleConv,
    "SuperResolution": SuperResolution,
    "UNet": UNet,
}


def _any_grid(
    group: Group, in_type: FieldType, out_type: FieldType, *, network: Mapping[str, Any], key: PRNGKeyArray
) -> AnyGrid:
    return AnyGrid(_wrapped(network, group, in_type, out_type, key))


def _residual(
    group: Group,
    in_type: FieldType,
    out_type: FieldType,
    *,
    network: Mapping[str, Any],
    scale: float = 1.0,
    key: PRNGKeyArray,
) -> Residual:
    return Residual(_wrapped(network, group, in_type, out_type, key), scale=scale)


def _climate_1d(
    group: Group,
    in_type: FieldType,
    out_type: FieldType,
    *,
    latitudes: int,
    network: Mapping[str, Any],
    key: PRNGKeyArray,
) -> Climate1D:
    if group != flips(2):
        raise ValueError(f"`Climate1D` commutes with flips2 and is built for that group, not for {group}.")
    source, target = zonal_type(in_type, latitudes), zonal_type(out_type, latitudes)
    return Climate1D(_wrapped(network, flips(1), source, target, key), in_type, out_type, latitudes=latitudes)


ARCHITECTURES: dict[str, Callable[..., AbstractNetwork]] = {
    **_NETWORKS,
    "AnyGrid": _any_grid,
    "Climate1D": _climate_1d,
    "Residual": _residual,
}
"""What a manifest may call a network, and what builds it."""


def build_model(
    architecture: str,
    config: Mapping[str, Any],
    group: Group,
    in_type: FieldType,
    out_type: FieldType,
    *,
    key: PRNGKeyArray,
) -> AbstractNetwork:
    """A network with fresh weights.

    **Arguments:**

    - architecture: a name in `ARCHITECTURES`.
    - config: its keyword arguments as JSON has them: field types as text such as `8x scalar + 8x vector`, tuples as
        lists. Where an architecture wraps another, `network` is `{"name": ..., "config": {...}}`.
    - group, in_type, out_type, key: as the architecture takes them.

    **Raises:** `ValueError` for an unknown architecture or option, with those that exist, and for a missing option.
    """
    return _build(ARCHITECTURES, architecture, config, group, in_type, out_type, key)


def _wrapped(
    network: Mapping[str, Any], group: Group, in_type: FieldType, out_type: FieldType, key: PRNGKeyArray
) -> AbstractNetwork:
    match network:
        case {"name": str(name), "config": dict(config)}:
            return _build(_NETWORKS, name, config, group, in_type, out_type, key)
    raise ValueError(f"A network inside another is given by its `name` and `config`, not by {network}.")


def _build(
    known: Mapping[str, Callable[..., AbstractNetwork]],
    architecture: str,
    config: Mapping[str, Any],
    group: Group,
    in_type: FieldType,
    out_type: FieldType,
    key: PRNGKeyArray,
) -> AbstractNetwork:
    if architecture not in known:
        raise ValueError(f"There is no architecture {architecture!r}. Known: {', '.join(sorted(known))}.")
    make = known[architecture]
    options = _options(make)
    needed = [name for name, option in options.items() if option.default is option.empty]
    if not set(needed) <= set(config) <= set(options):
        raise ValueError(
            f"`{architecture}` cannot be built from {config}: its options are {', '.join(options)}, of which "
            f"{', '.join(needed)} must be given."
        )
    try:
        given = {name: _parsed(value, options[name].annotation) for name, value in config.items()}
        return make(group, in_type, out_type, **given, key=key)
    except TypeError as error:
        raise ValueError(f"`{architecture}` cannot be built from {config}: {error}.") from error


def _options(make: Callable[..., AbstractNetwork]) -> dict[str, inspect.Parameter]:
    """The keyword arguments of what builds a network, without the randomness."""
    parameters = inspect.signature(make).parameters
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY and name != "key"}


def _parsed(value: Any, annotation: object) -> Any:
    """A value of JSON as its parameter is annotated."""
    if annotation is FieldType:
        return FieldType.parse(str(value))
    return tuple(value) if isinstance(value, list) else value
