"""The surface is what `__all__` says, and both clients have the same one."""

import inspect
import subprocess
import sys
import typing
from typing import Any

import pytest

import equifield_client
from equifield_client import AsyncClient, AsyncJob, Client, Job

HEAVY = ("jax", "equinox", "fastapi", "starlette", "pydantic", "equifield", "equifield_service")


def imported(statement: str) -> str:
    """Which heavy packages a statement imports, in a Python of its own."""
    path = f"import sys; sys.path[:0] = {sys.path!r}"
    show = f"print([name for name in {HEAVY!r} if name in sys.modules])"
    run = [sys.executable, "-c", f"{path}; {statement}; {show}"]
    return subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def methods(kind: type[Any]) -> dict[str, list[inspect.Parameter]]:
    """The parameters of a class's public methods."""
    return {
        name: list(inspect.signature(member).parameters.values())
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def returned(kind: type[Any]) -> dict[str, str]:
    """What a class's public methods return, without the words that only awaiting adds."""
    functions = [member for name, member in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]
    hints = {function.__name__: str(typing.get_type_hints(function)["return"]) for function in functions}
    return {name: hint.replace("Async", "") for name, hint in hints.items()}


def test_all_names_everything_public() -> None:
    public = {name for name in vars(equifield_client) if not name.startswith("_") and name != "command"}
    assert public == set(equifield_client.__all__)
    assert equifield_client.__all__ == sorted(equifield_client.__all__)


@pytest.mark.parametrize("twins", [(Client, AsyncClient), (Job, AsyncJob)], ids=["client", "job"])
def test_both_twins_have_the_same_methods(twins: tuple[type[Any], type[Any]]) -> None:
    waiting, awaiting = twins
    assert methods(waiting) == methods(awaiting)
    assert returned(waiting) == returned(awaiting)


@pytest.mark.parametrize("name", [n for n in equifield_client.__all__ if n != "Source"])
def test_everything_public_is_documented(name: str) -> None:
    thing = getattr(equifield_client, name)
    assert inspect.getdoc(thing)
    for attribute, member in vars(thing).items():
        if inspect.isfunction(member) and not attribute.startswith("_"):
            assert inspect.getdoc(member), f"{name}.{attribute}"


def test_importing_the_sdk_imports_no_framework() -> None:
    assert imported("import equifield_client") == "[]"


def test_importing_the_command_imports_no_framework() -> None:
    assert imported("import equifield_client.command") == "[]"


def test_the_import_test_can_fail() -> None:
    assert imported("import equifield_client, pydantic") == "['pydantic']"
