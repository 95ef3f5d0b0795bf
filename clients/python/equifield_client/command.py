"""The `equifield` command: predictions and equivariance checks from a shell."""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ._client import Client
from ._console import MEANINGS, ExitCode, progress, reporting
from ._flow import Retry
from ._options import Reading
from ._plugins import add_plugins
from ._summary import model_lines, prediction, prediction_lines
from ._text import table
from ._transport import DEFAULT_TIMEOUT, DEFAULT_URL

Model = Annotated[str, typer.Argument(help="The model, as `equifield models` lists it.")]
Url = Annotated[str, typer.Option("--url", envvar="EQUIFIELD_URL", help="Where the service is.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, and for errors on stderr.")]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds for the whole call, retries included.")]
Retries = Annotated[int, typer.Option(min=0, help="How often to try again when busy or unreachable.")]
Version = Annotated[str | None, typer.Option(help="The model's version.", show_default="the newest")]
Map = Annotated[str | None, typer.Option("--map", metavar="u:u10,v:v10", help="Which variable holds what.")]
Axes = Annotated[str | None, typer.Option(metavar="x:lon,y:lat", help="Which dimension is which axis.")]
Boundary = Annotated[str | None, typer.Option(metavar="x:periodic,y:mirror", help="Overrides the model's.")]
Units = Annotated[str | None, typer.Option(metavar="T:K", help="What units a variable really has.")]
Missing = Annotated[Literal["zero", "nearest"] | None, typer.Option(help="What fills missing values.")]
Group = Annotated[str | None, typer.Option(metavar="/model", help="The NetCDF-4 group to read.")]
Stagger = Annotated[Literal["center"] | None, typer.Option(help="Averages components on cell faces.")]
Dtype = Annotated[Literal["float32", "float64"] | None, typer.Option(help="Type of the prediction.")]
Compress = Annotated[int | None, typer.Option(min=0, max=9, help="Level of zlib compression.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps of a rollout.", show_default="one prediction")]
Every = Annotated[int | None, typer.Option(min=1, help="Which of its states are written: every which one.")]
Grid = Annotated[str | None, typer.Option(metavar="64,128", help="Size of the random fields, without IN.nc.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the random fields, without IN.nc.")]
Source = Annotated[Path, typer.Argument(metavar="IN.nc", exists=True, dir_okay=False, help="The fields.")]
MaybeSource = Annotated[
    Path | None, typer.Argument(metavar="IN.nc", exists=True, dir_okay=False, help="Else random fields.")
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="OUT.nc", help="Where the prediction goes.")]


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
        write(output, content)
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
    own: dict[str, Callable[..., None]] = {"predict": predict, "check": check, "models": models}
    for name, function in own.items():
        app.command(name)(function)
    add_plugins(app, arguments, tuple(own))
    return app


def connect(url: str, timeout: float, retries: int) -> Client:
    """A client for one command. Its key comes from the environment: others can read a command line."""
    return Client(url, timeout=timeout, retries=Retry(limit=retries), key=os.environ.get("EQUIFIELD_KEY"))


def pairs(option: str, text: str | None) -> dict[str, str] | None:
    """`u:u10,v:v10` as a mapping."""
    if text is None:
        return None
    split = [part.split(":") for part in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in split) or len({key for key, *_ in split}) < len(split):
        raise typer.BadParameter(f"--{option} takes pairs of different names as in u:u10,v:v10, but got {text!r}.")
    return {key: value for key, value in split}


def sides(text: str | None) -> tuple[int, ...] | None:
    """`64,128` as the sides of a grid."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--grid takes whole numbers as in 64,128, but got {text!r}.")
    return tuple(map(int, parts))


def check_output(source: Path, output: Path) -> None:
    """Finds out before the work whether its result will have a place."""
    if not output.parent.is_dir() or output.is_dir():
        raise typer.BadParameter(f"--output must name a file in a folder that exists, but got '{output}'.")
    if output.exists() and output.samefile(source):
        raise typer.BadParameter(f"--output '{output}' is the input itself; name another file.")


def write(output: Path, content: bytes) -> None:
    """Writes the file whole or not at all; devices and pipes are written as they are."""
    if output.exists() and not output.is_file():
        output.write_bytes(content)
        return
    partial = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


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
