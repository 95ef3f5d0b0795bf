"""Where payload processes come from: a clean parent, and what each of them runs.

The parent is Python's forkserver. It is started with an almost empty environment, imports and warms up the
libraries once, and forks: a fresh payload process costs milliseconds. It has no threads and knows no secrets.
"""

import contextlib
import functools
import multiprocessing
import os
import warnings
from collections.abc import Iterator, Mapping
from multiprocessing import forkserver, spawn
from multiprocessing.context import ForkServerContext
from typing import Any

import numpy.typing as npt

from ..arenas import Arrays, Message
from ..endpoint import Endpoint, serve
from ..logs import LogOptions, configure_logging, last_words
from .values import Limits

KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
CLEAN_ENVIRONMENT = {
    "HDF5_PLUGIN_PRELOAD": "::",  # HDF5 loads no plugins, whatever a file names
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",  # a process with threads must not fork
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

MAIN_SCRIPT = "EQUIFIELD_PAYLOAD_MAIN"
"""How the clean parent learns which script it must not run."""


@functools.cache
def clean_parent() -> ForkServerContext:
    """The context whose processes are forked from the clean parent, which runs when this returns.

    While it starts, for some milliseconds, this process has the clean environment too: start no others meanwhile.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.preload"])
    with _clean_environment({MAIN_SCRIPT: spawn.get_preparation_data("").get("init_main_from_path", "")}):
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _clean_environment(added: Mapping[str, str]) -> Iterator[None]:
    """The forkserver inherits `os.environ`, and offers no other way to choose what it gets."""
    everything = dict(os.environ)
    scrub_environment(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(everything)


def scrub_environment(added: Mapping[str, str]) -> None:
    """Leaves nothing in `os.environ` but what payload processes need."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    os.environ.clear()
    os.environ.update({**kept, **CLEAN_ENVIRONMENT, **added})


def main(endpoint: Endpoint, limits: Limits, seconds_per_file: float, log: LogOptions) -> None:
    """The life of a payload process: give up every right that it does not need, then answer requests."""
    from . import preload  # only ever imported in the children and in their parent
    from .sandbox import alarm, confine

    configure_logging("payload", log)
    preload.warm_up()
    warnings.simplefilter("ignore")  # about files, which are the users' affair

    def handle(message: Message, arrays: list[npt.NDArray[Any]]) -> tuple[Message, Arrays]:
        alarm(seconds_per_file)
        try:
            return preload.handle(message, arrays, limits=limits, outbox=endpoint.slots[0].outbox)
        finally:
            alarm(0)

    confine(limits)
    with last_words():
        serve(endpoint, handle, {})
