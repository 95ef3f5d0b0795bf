"""Networks equal to those of ginjax."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ...field_type import FieldType
from ...groups import Group, group_named
from ...models import AbstractNetwork
from ._biased_conv import BiasedConv
from ._configuration import configuration
from ._fill import fill
from ._leaves import Leaves, read_leaves
from ._resnet import GinjaxDilResNet, GinjaxResNet
from ._unet import GinjaxUNet

Counterpart = AbstractNetwork | BiasedConv
ARCHITECTURES: dict[str, type[Any]] = {
    "ResNet": GinjaxResNet,
    "DilResNet": GinjaxDilResNet,
    "UNet": GinjaxUNet,
    "ConvContract": BiasedConv,
}
"""What takes the place of each class of ginjax."""


def from_ginjax(model: Any, group: Group | None = None) -> Counterpart:
    """The network that gives what a `ResNet`, `DilResNet`, `UNet` or `ConvContract` of ginjax 0.1.8 gives.

    That is, what it gives under `jit` or once it has been loaded, where JAX has sorted its types: ginjax adds fields in
    the order of its dictionaries.

    **Arguments:**

    - model: the ginjax object; ginjax itself is not imported.
    - group: the group whose filters it was given; all rotations and reflections of the grid by default.

    **Raises:** `ValueError` as `configuration`, and when its filters are not invariant under the group.
    """
    leaves = (np.asarray(leaf) for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.Array | np.ndarray))
    return _filled(configuration(model, group), leaves)


def load_eqx(path: str | os.PathLike[str], config: Mapping[str, Any]) -> Counterpart:
    """The network that gives what the ginjax model gives whose `save` or `save_plus` wrote a file.

    **Arguments:**

    - path: the `.eqx` file. It is read without ginjax, and nothing in it is executed.
    - config: what `configuration` gives for the model. `architecture`, `group`, `in_type`, `out_type` and, for the
        networks, `hidden` are text; the rest are the keyword arguments of the network.

    **Raises:** `ValueError` for an unknown architecture or option, for a file that does not fit the configuration, and
    when its filters are not invariant under the group.
    """
    return _filled(config, read_leaves(path))


def build(config: Mapping[str, Any], *, key: PRNGKeyArray) -> Counterpart:
    """The network of a configuration with fresh weights. **Raises** `ValueError` for an unknown option."""
    options = dict(config)
    architecture = str(options.pop("architecture", None))
    if architecture not in ARCHITECTURES:
        raise ValueError(f"There is no architecture {architecture!r}. Known: {', '.join(ARCHITECTURES)}.")
    try:
        group = group_named(str(options.pop("group")))
        types = {
            name: FieldType.parse(str(options.pop(name)))
            for name in ("in_type", "out_type", "hidden")
            if name in options
        }
        network: Counterpart = ARCHITECTURES[architecture](group, **types, **options, key=key)
    except (TypeError, KeyError) as error:
        raise ValueError(f"{architecture} cannot be built from {dict(config)}: {error}.") from error
    return network


def _filled(config: Mapping[str, Any], arrays: Iterator[Float[np.ndarray, "..."]]) -> Counterpart:
    empty: Counterpart = eqx.filter_eval_shape(build, config, key=jr.key(0))
    return fill(empty, Leaves(arrays))
