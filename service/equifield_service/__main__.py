"""The service half of the `equifield` command.

Worker processes import this module when they start, so it imports only what a command line needs; the rest
comes with `serve`.
"""

from typing import Annotated

import typer

Host = Annotated[str | None, typer.Option(help="Address to listen on.", envvar="EQUIFIELD_HOST")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.", envvar="EQUIFIELD_PORT")]
Store = Annotated[str | None, typer.Option(help="Folder or URL of model packages.", envvar="EQUIFIELD_STORE")]
MaxBatch = Annotated[int | None, typer.Option(help="Largest batch, in samples.", envvar="EQUIFIELD_MAX_BATCH")]


def serve(host: Host = None, port: Port = None, store: Store = None, max_batch: MaxBatch = None) -> None:
    """Run the service until SIGTERM or Ctrl-C. Every other setting is an EQUIFIELD_... variable."""
    from .server import run

    given = {"host": host, "port": port, "store": store, "max_batch": max_batch}
    raise typer.Exit(run({name: value for name, value in given.items() if value is not None}))


Name = Annotated[str, typer.Argument(help="Who will hold the key; shown in logs.")]
Scopes = Annotated[list[str], typer.Option("--scope", help="`predict`, `admin`; give it twice for both.")]
Rate = Annotated[float | None, typer.Option(help="Requests per second, in the long run.", show_default="any number")]


def new_key(name: Name, scope: Scopes = ["predict"], rate: Rate = None) -> None:  # noqa: B006
    """Make a key: the line for the file of keys on stdout, the key itself, once, on stderr.

    equifield new-key desk >> keys.jsonl
    """
    from pydantic import ValidationError

    from .access import new_key

    try:
        secret, key = new_key(name, scope, rate)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        typer.echo(f"equifield new-key: {faults}", err=True)
        raise typer.Exit(2) from None
    typer.echo(key.line)
    typer.echo(f"The key of {name}, which is stored nowhere and never shown again:\n{secret}", err=True)


app = typer.Typer(add_completion=False, no_args_is_help=True, help="The Equifield service.")
app.command()(serve)
app.command()(new_key)


@app.callback()
def main() -> None:
    """The Equifield service."""


if __name__ == "__main__":
    app()
