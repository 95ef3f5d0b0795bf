"""What all tests share: the real service with the shipped models."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import start
from tests.service import packages

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"
CACHES = ("EQUIFIELD_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_DIR")
JOBS = "EQUIFIELD_JOBS"


def pytest_configure(config: pytest.Config) -> None:
    """Lets the processes of one run share what they compile; the next run begins without it."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="equifield-tests-")
        os.environ |= {**dict.fromkeys(CACHES, folder), JOBS: f"{folder}/jobs"}
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"  # the processes that tests start compile most of the time


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes what this run compiled."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree({os.environ.pop(name) for name in CACHES}.pop(), ignore_errors=True)
        del os.environ[JOBS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests measured, such as how long the service took to recover from a fault."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.location[2]}: {name}: {value}")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one package, not to be changed."""
    store = tmp_path_factory.mktemp("published")
    packages.publish(store)
    return store


@pytest.fixture(scope="session")
def service_url() -> Iterator[str]:
    """Where a real service listens that serves `models_store`."""
    running = start(REPOSITORY / "models_store", payload_processes="2")
    with running.process:
        yield running.url
        running.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real and hostile files, where it is at hand."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the collection of real files, ../shared/data, is not beside this repository")
    return SHARED / "data"
