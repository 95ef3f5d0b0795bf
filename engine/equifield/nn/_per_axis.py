"""What layers ask of a setting that is one number for all grid axes, or one for each."""

import equinox as eqx

from ..ops._per_axis import PerAxis


def check_positive(layer: eqx.Module, setting: PerAxis) -> None:
    """**Raises** `ValueError` unless every number is at least 1, naming the layer."""
    if min((setting,) if isinstance(setting, int) else setting, default=0) < 1:
        raise ValueError(f"`{layer}` needs at least 1, along every axis.")
