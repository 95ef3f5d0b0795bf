"""What all tests share: the real service with the shipped models."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running import start

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"
CACHES = ("EQUIFIELD_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_DIR")
JOBS = "EQUIFIELD_JOBS"


if "PYTEST_XDIST_WORKER" not in os.environ:  # JAX reads this when it is imported, which later conftests do
    RUN = Path(tempfile.mkdtemp(prefix="equifield-tests-"))
    """What the processes of this run share; the next run begins without it."""
    os.environ |= {**dict.fromkeys(CACHES, f"{RUN}/programs"), JOBS: f"{RUN}/jobs"}
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # The laws do not depend on how XLA generates code; the time that thousands of compilations take does.
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes what the processes of this run shared."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(RUN, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests measured, such as how long the service took to recover from a fault."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.location[2]}: {name}: {value}")


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one process of this run makes, and all of them read."""
    folder = Path(os.environ[JOBS]).with_name(name)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making = Path(tempfile.mkdtemp(dir=folder.parent))
            make(making)
            making.rename(folder)
    return folder


@pytest.fixture(scope="session")
def published() -> Path:
    """A store with one package, not to be changed."""
    from tests.service import packages  # imports JAX, which the process that only hands out tests does not need

    return made_once("published", packages.publish)


@pytest.fixture(scope="session")
def calm() -> Path:
    """A store with a model whose rollouts come to rest, not to be changed."""
    from tests.service import packages

    return made_once("calm", lambda store: packages.publish(store, "calm", weight=0.5))


@pytest.fixture(scope="session")
def grounded() -> Path:
    """A store with a model that takes a constant field, not to be changed."""
    from tests.service import packages

    return made_once("grounded", lambda store: packages.publish_as(store, packages.grounded(), weight=0.5))


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
