"""What the command shows: results on stdout, progress and faults on stderr, and its exit codes."""

import contextlib
import enum
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ._exceptions import APIConnectionError, APIStatusError, EquifieldError
from ._job_errors import JobDismissed, JobFailed


class ExitCode(enum.IntEnum):
    """How the command ends. Scripts may rely on these numbers."""

    OK = 0
    LOCAL_FILE = 1
    USAGE = 2
    NO_CONNECTION = 3
    REFUSED = 4
    SERVICE_FAILED = 5
    CHECK_FAILED = 6
    NOT_INSTALLED = 7
    JOB_ENDED = 8
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.LOCAL_FILE: "a file on this machine cannot be read or written",
    ExitCode.USAGE: "wrong arguments",
    ExitCode.NO_CONNECTION: "no answer from the service",
    ExitCode.REFUSED: "the service refused the request (4xx): change it",
    ExitCode.SERVICE_FAILED: "the service failed or is busy (5xx, 429): try again later",
    ExitCode.CHECK_FAILED: "the equivariance check did not pass",
    ExitCode.NOT_INSTALLED: "the command needs an extra that is not installed",
    ExitCode.JOB_ENDED: "the job failed or was cancelled",
    ExitCode.INTERRUPTED: "interrupted; a job goes on",
}


def exit_code(error: Exception) -> ExitCode:
    """The exit code for what went wrong."""
    if isinstance(error, APIConnectionError):
        return ExitCode.NO_CONNECTION
    if isinstance(error, APIStatusError) and 400 <= error.status_code < 500 and error.status_code != 429:
        return ExitCode.REFUSED
    if isinstance(error, (JobFailed, JobDismissed)):
        return ExitCode.JOB_ENDED
    if isinstance(error, EquifieldError):
        return ExitCode.SERVICE_FAILED
    return ExitCode.LOCAL_FILE if isinstance(error, OSError) else ExitCode.USAGE


@contextlib.contextmanager
def reporting(as_json: bool) -> Iterator[None]:
    """Turns an error into a sentence (or a JSON problem) on stderr and an exit code."""
    try:
        yield
    except (EquifieldError, OSError, ValueError) as error:
        code = exit_code(error)
        typer.echo(problem_json(error) if as_json else f"equifield: {error}", err=True)
        raise typer.Exit(code) from None


def problem_json(error: Exception) -> str:
    """The service's problem document, or one of the same form for a fault on this side."""
    if isinstance(error, APIStatusError) and error.problem:
        return json.dumps(error.problem)
    status = getattr(error, "status_code", None)
    return json.dumps({"code": exit_code(error).name.lower(), "status": status, "detail": str(error)})


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """A spinner with the time it takes, on stderr, where someone is watching."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        bar.add_task(what, total=None)
        yield


def show_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(without_nan(value), indent=2))


def without_nan(value: Any) -> Any:
    """The value with null for every number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
