"""What the commands take: their arguments and options, and how these are read and checked."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from ._client import Client
from ._flow import Retry

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
Priority = Annotated[
    int | None, typer.Option(min=-100, max=100, help="Jobs with a higher one go first.", show_default="0")
]
Detach = Annotated[bool, typer.Option("--detach", help="Print the job's id and go.")]
Job = Annotated[str, typer.Argument(metavar="ID", help="The job, as `equifield jobs` lists it.")]
Partial = Annotated[bool, typer.Option("--partial", help="What there is, also of a job that failed.")]
Status = Annotated[
    Literal["accepted", "running", "successful", "failed", "dismissed"] | None, typer.Option(help="Only these.")
]
OfModel = Annotated[str | None, typer.Option("--model", help="Only of this model.")]
Limit = Annotated[int, typer.Option(min=1, help="How many to list, newest first.")]


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


def check_output(source: Path | None, output: Path) -> None:
    """Finds out before the work whether its result will have a place."""
    if not output.parent.is_dir() or output.is_dir():
        raise typer.BadParameter(f"--output must name a file in a folder that exists, but got '{output}'.")
    if source is not None and output.exists() and output.samefile(source):
        raise typer.BadParameter(f"--output '{output}' is the input itself; name another file.")
