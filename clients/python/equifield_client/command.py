"""The `equifield` command: predictions, jobs and equivariance checks from a shell."""

import dataclasses
import sys
from collections.abc import Callable, Sequence

import typer

from ._arguments import (
    Axes,
    Boundary,
    Compress,
    Dtype,
    Every,
    Grid,
    Group,
    Json,
    Map,
    MaybeSource,
    Missing,
    Model,
    Output,
    Retries,
    Seed,
    Source,
    Stagger,
    Steps,
    Timeout,
    Units,
    Url,
    Version,
    check_output,
    connect,
    pairs,
    sides,
)
from ._console import MEANINGS, ExitCode, progress, reporting, show_json
from ._files import replacing
from ._flow import Retry
from ._job_commands import jobs_app, rollout
from ._options import Reading
from ._plugins import add_plugins
from ._summary import model_lines, prediction, prediction_lines
from ._text import table
from ._transport import DEFAULT_TIMEOUT, DEFAULT_URL


def predict(
    model: Model,
    source: Source,
    output: Output,
    version: Version = None,
    map: Map = None,
    axes: Axes = None,
    boundary: Boundary = None,
    units: Units = None,
    missing: Missing = None,
    group: Group = None,
    stagger: Stagger = None,
    dtype: Dtype = None,
    compress: Compress = None,
    steps: Steps = None,
    every: Every = None,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    retries: Retries = Retry.limit,
    as_json: Json = False,
) -> None:
    """Predict from a NetCDF file, into a NetCDF file."""
    reading: Reading = {"units": pairs("units", units), "missing": missing, "group": group, "stagger": stagger}
    with reporting(as_json), connect(url, timeout, retries) as client:
        check_output(source, output)
        with progress(f"{model} on {source.name}"):
            content = client.predict_bytes(
                model,
                source,
                version=version,
                map=pairs("map", map),
                axes=pairs("axes", axes),
                boundary=pairs("boundary", boundary),
                dtype=dtype,
                compress=compress,
                steps=steps,
                every=every,
                **reading,
            )
        variables = prediction(content)
        with replacing(output) as file:
            file.write(content)
    if as_json:
        show_json({"model": model, "output": str(output), "bytes": len(content), "variables": variables})
    else:
        typer.echo(f"{table(prediction_lines(variables))}\n{output}: {len(content)} bytes")


def check(
    model: Model,
    source: MaybeSource = None,
    version: Version = None,
    seed: Seed = None,
    grid: Grid = None,
    map: Map = None,
    axes: Axes = None,
    boundary: Boundary = None,
    units: Units = None,
    missing: Missing = None,
    group: Group = None,
    stagger: Stagger = None,
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    retries: Retries = Retry.limit,
    as_json: Json = False,
) -> None:
    """Measure how exactly a model's answer rotates when its input does."""
    reading: Reading = {"units": pairs("units", units), "missing": missing, "group": group, "stagger": stagger}
    with (
        reporting(as_json),
        connect(url, timeout, retries) as client,
        progress(f"{model}: every element of its group"),
    ):
        report = client.check_equivariance(
            model,
            source,
            version=version,
            seed=seed,
            grid=sides(grid),
            map=pairs("map", map),
            axes=pairs("axes", axes),
            boundary=pairs("boundary", boundary),
            **reading,
        )
    if as_json:
        show_json(dataclasses.asdict(report))
    else:
        typer.echo(str(report))
    if not report.passed:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def models(
    url: Url = DEFAULT_URL,
    timeout: Timeout = DEFAULT_TIMEOUT,
    retries: Retries = Retry.limit,
    as_json: Json = False,
) -> None:
    """List the models of the service: what each takes and gives, and its state."""
    with reporting(as_json), connect(url, timeout, retries) as client, progress("models"):
        found = client.models()
    if as_json:
        show_json([dataclasses.asdict(info) for info in found])
    else:
        typer.echo(table(model_lines(found)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; ends the process with one of the `ExitCode` numbers."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    build_app(given)(given, prog_name="equifield")


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The command with its own subcommands, and those of other packages that `arguments` needs."""
    codes = ", ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items())
    app = typer.Typer(
        help="Neural networks on tensor fields, exactly equivariant to rotations and reflections.",
        epilog=f"Exit codes: {codes}.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    own: dict[str, Callable[..., None]] = {"predict": predict, "rollout": rollout, "check": check, "models": models}
    for name, function in own.items():
        app.command(name)(function)
    app.add_typer(jobs_app, name="jobs")
    add_plugins(app, arguments, (*own, "jobs"))
    return app
