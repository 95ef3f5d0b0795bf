"""The log that Weights & Biases keeps."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wandb import Error, Settings, init

from ._log import LogRefused, Write
from .recipe import Recipe

RUN = "wandb.json"
"""The id of the run, the recipe it follows, and how many epochs it has: W&B is not to be sent one of them twice."""

FLUSHED = 0.1
"""After how many seconds an epoch is on the disk. W&B itself waits for 15, and what it holds dies with the process."""


@contextmanager
def wandb(folder: Path, recipe: Recipe, first: int) -> Iterator[Write]:
    """A run with the recipe as its configuration: the same run whenever the same recipe is followed in this folder.

    W&B's own variables say whose it is and where (`WANDB_PROJECT`, `WANDB_MODE`). **Raises** `LogRefused`.
    """
    known = _known(folder / RUN, recipe)
    try:
        run = init(
            id=known["id"],
            resume="allow",
            name=str(folder),
            config=recipe.model_dump(mode="json"),
            dir=folder,
            settings=Settings(
                console="off",  # it would keep every state of the progress bar
                x_transaction_log_flush_interval=FLUSHED,
            ),
        )
    except Error as error:
        raise LogRefused(f"W&B opens no run: {error} Without an account, set WANDB_MODE=offline.") from error
    with run:
        _keep(folder / RUN, known)

        def write(epoch: int, values: Mapping[str, float]) -> None:
            if epoch >= known["epochs"]:
                run.log(dict(values), step=epoch, commit=True)
                _keep(folder / RUN, known | {"epochs": epoch + 1})

        yield write


def _known(path: Path, recipe: Recipe) -> dict[str, Any]:
    """What is known of the run of a recipe, which may be nothing but a new id."""
    digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return known if known.get("recipe") == digest else {"id": secrets.token_hex(4), "recipe": digest, "epochs": 0}


def _keep(path: Path, known: Mapping[str, Any]) -> None:
    """Writes the file whole or not at all: a process may be killed at any moment."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(known) + "\n", encoding="utf-8")
    fresh.replace(path)
