"""The logs of a training, by their names: JSON lines, and what the user asks for beside them."""

from collections.abc import Collection

from ._json_lines import json_lines
from ._log import Log


def logs_named(names: Collection[str]) -> list[Log]:
    """The JSON lines, and the logs of some names.

    **Raises:** `ImportError` for a log whose package is not installed, `ValueError` for a name that no log has.
    """
    return [json_lines, *map(_named, sorted(set(names)))]


def _named(name: str) -> Log:
    try:
        match name:
            case "tensorboard":
                from ._tensorboard import tensorboard

                return tensorboard
            case "wandb":
                from ._wandb import wandb

                return wandb
    except ImportError as error:
        raise ImportError(
            f"The log `{name}` needs a package that is not installed ({error}). "
            f"Install it with: pip install 'equifield[{name}]'"
        ) from error
    raise ValueError(f"There is no log {name!r}: the logs are tensorboard and wandb.")
