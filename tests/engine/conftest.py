"""Fixtures of the engine's tests."""

from collections.abc import Callable, Iterator

import jax
import jax.random as jr
import pytest
from jaxtyping import PRNGKeyArray

jax.config.update("jax_num_cpu_devices", 2)  # type: ignore[no-untyped-call]
"""What runs on several devices is tried on two."""


@pytest.fixture(scope="module", autouse=True)
def release_compiled_programs() -> Iterator[None]:
    """What one module compiled is of no use to the next, and takes gigabytes when all is kept."""
    yield
    jax.clear_caches()  # type: ignore[no-untyped-call]


@pytest.fixture
def getkey() -> Callable[[], PRNGKeyArray]:
    """A fresh key at every call, the same ones in every run."""
    key: PRNGKeyArray = jr.key(0)

    def fresh() -> PRNGKeyArray:
        nonlocal key
        subkey: PRNGKeyArray
        key, subkey = jr.split(key)
        return subkey

    return fresh


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """The precision a test runs in."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param
