"""The worker process: sets up its environment, then answers the gateway until it hangs up."""

import importlib
import os

from .. import tracing
from ..endpoint import Endpoint, serve
from ..logs import configure_logging, last_words
from .options import WorkerOptions


def main(endpoint: Endpoint, options: WorkerOptions) -> None:
    """The main function of a worker process.

    JAX reads its environment when it is imported, so what imports it is loaded by name after that is set. The
    gateway, which starts this function by reference, has no import path to JAX.
    """
    configure_logging("worker", options.log)
    with last_words():
        tracing.start(options.otlp_endpoint)
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        if options.compilation_cache is not None:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = options.compilation_cache
            os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        operations = importlib.import_module(".operations", __package__).Operations(options)
        serve(endpoint, operations, operations.describe())
