"""The commands about jobs: `equifield rollout` and `equifield jobs`."""

import contextlib
import dataclasses
import itertools
import os
import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ._arguments import (
    Axes,
    Boundary,
    Detach,
    Dtype,
    Every,
    Group,
    Job,
    Json,
    Limit,
    Map,
    Missing,
    Model,
    OfModel,
    Output,
    Partial,
    Priority,
    Retries,
    Source,
    Stagger,
    Status,
    Timeout,
    Units,
    Url,
    Version,
    check_output,
    connect,
    pairs,
)
from ._client import Client
from ._console import ExitCode, progress, reporting, show_json
from ._flow import Retry
from ._job_status import JobStatus
from ._text import clean
from ._transport import DEFAULT_TIMEOUT, DEFAULT_URL, checked_url, without_secrets

RolloutSteps = Annotated[int, typer.Option("--steps", min=1, help="How often the model is applied.")]
MaybeOutput = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT.nc", help="Where the result goes; not with --detach.")
]
WIDE = 250
"""Columns of a table that nobody watches."""

jobs_app = typer.Typer(help="List jobs, and look at, cancel or fetch one.", invoke_without_command=True)


def rollout(
    model: Model,
    source: Source,
    steps: RolloutSteps,
    output: MaybeOutput = None,
    every: Every = None,
    priority: Priority = None,
    detach: Detach = False,
    version: Version = None,
    map: Map = None,
    axes: Axes = None,
    boundary: Boundary = None,
    units: Units = None,
    missing: Missing = None,
    group: Group = None,
    stagger: Stagger = None,
    dtype: Dtype = None,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    retries: Retries = Retry.limit,
    as_json: Json = False,
) -> None:
    """Apply a model many times, as a job: it goes on if this command is interrupted."""
    if (output is None) != detach:
        raise typer.BadParameter("rollout takes either --output OUT.nc or --detach.")
    with reporting(as_json), connect(url, timeout, retries) as client:
        if output is not None:
            check_output(source, output)
        with progress(f"{model} on {source.name}"):
            job = client.submit(
                model,
                source,
                version=version,
                map=pairs("map", map),
                axes=pairs("axes", axes),
                boundary=pairs("boundary", boundary),
                steps=steps,
                every=every,
                units=pairs("units", units),
                missing=missing,
                group=group,
                stagger=stagger,
                dtype=dtype,
                priority=priority,
            )
        if output is not None:
            with leaving(job.id, output, url):
                receive(client, job.id, output, partial=False, as_json=as_json)
        elif as_json:
            show_json({"id": job.id})
        else:
            typer.echo(job.id)


@jobs_app.callback()
def listing(
    context: typer.Context,
    status: Status = None,
    model: OfModel = None,
    limit: Limit = 50,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    retries: Retries = Retry.limit,
    as_json: Json = False,
) -> None:
    """List jobs, newest first; with a command, look at, cancel or fetch one."""
    if context.invoked_subcommand is not None:
        refuse_options(context, context.invoked_subcommand)
        return
    with reporting(as_json), connect(url, timeout, retries) as client, progress("jobs"):
        found = list(itertools.islice(client.jobs(status, model), limit))
    if as_json:
        show_json([as_dict(job) for job in found])
    else:
        show_table(found)


def refuse_options(context: typer.Context, command: str) -> None:
    """Refuses options before the name of a command, where they would have no effect."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    if any(source is not None and source.name == "COMMANDLINE" for source in sources.values()):
        raise typer.BadParameter(f"options go behind `{command}`, as in `equifield jobs {command} ... --json`.")


@jobs_app.command()
def show(
    job: Job,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    retries: Retries = Retry.limit,
    as_json: Json = False,
) -> None:
    """Show how a job stands."""
    with reporting(as_json), connect(url, timeout, retries) as client:
        status = client.job(job).status()
    tell(status, as_json)


@jobs_app.command()
def cancel(
    job: Job,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    retries: Retries = Retry.limit,
    as_json: Json = False,
) -> None:
    """End a job; one that has ended stays as it is."""
    with reporting(as_json), connect(url, timeout, retries) as client:
        status = client.job(job).cancel()
    tell(status, as_json)


@jobs_app.command()
def fetch(
    job: Job,
    output: Output,
    partial: Partial = False,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    retries: Retries = Retry.limit,
    as_json: Json = False,
) -> None:
    """Wait for a job, and fetch its result into a NetCDF file."""
    with reporting(as_json), connect(url, timeout, retries) as client:
        check_output(None, output)
        with leaving(job, output, url):
            receive(client, job, output, partial=partial, as_json=as_json)


def receive(client: Client, job_id: str, output: Path, *, partial: bool, as_json: bool) -> None:
    """Waits for a job and writes its result."""
    job = client.job(job_id)
    job.wait(progress=True)
    with progress(output.name):
        job.save(output, partial=partial)
    written = {"id": job_id, "output": str(output), "bytes": output.stat().st_size}
    if as_json:
        show_json(written)
    else:
        typer.echo(f"{output}: {written['bytes']} bytes")


@contextlib.contextmanager
def leaving(job_id: str, output: Path, url: str) -> Iterator[None]:
    """Turns an interrupt, which leaves the job alone, into the way on and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        known = url in (DEFAULT_URL, os.environ.get("EQUIFIELD_URL"))
        where = "" if known else f" --url {without_secrets(checked_url(url))}"
        typer.echo(
            f"equifield: job {job_id} goes on. `equifield jobs fetch {job_id} -o {shlex.quote(str(output))}{where}` "
            f"waits for it and fetches its result, `equifield jobs cancel {job_id}{where}` ends it.",
            err=True,
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def tell(status: JobStatus, as_json: bool) -> None:
    """One job, in full."""
    if as_json:
        show_json(as_dict(status))
        return
    lines = {
        name: value for name, value in as_dict(status).items() if value not in (None, "") and name != "diagnostics"
    }
    if status.failure is not None:
        lines["failure"] = f"{status.failure.detail} ({status.failure.code})"
    width = max(map(len, lines))
    typer.echo("\n".join(f"{name:{width}}  {clean(str(value))}" for name, value in lines.items()))


def show_table(jobs: Sequence[JobStatus]) -> None:
    """A line for each job, as wide as the terminal, or as they need where nobody watches."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "model", "version", "status", "steps", "created", "message"):
        shown.add_column(name, no_wrap=True, ratio=1 if name == "message" else None)
    for job in jobs:
        steps = "" if job.steps is None else f"{job.step} / {job.steps}"
        message = job.failure.detail if job.failure else job.message
        cells = (job.id, job.model, job.version, job.status, steps, f"{job.created:%Y-%m-%d %H:%M}", message)
        shown.add_row(*(Text(clean(cell, 200)) for cell in cells))
    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(shown)


def as_dict(status: JobStatus) -> dict[str, Any]:
    """The state as JSON can hold it, times as in ISO 8601."""
    about = dataclasses.asdict(status)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in about.items()}
