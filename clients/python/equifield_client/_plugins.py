"""Commands that other packages add to `equifield` through the entry points `equifield.commands`."""

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import typer

from ._console import ExitCode

GROUP = "equifield.commands"
Command = Callable[..., Any]


def add_plugins(app: typer.Typer, arguments: Sequence[str], own: Sequence[str]) -> None:
    """Adds the commands of the group; one is imported only when it is called, or to be listed by `--help`."""
    listing = not set(own) & set(arguments)
    entries = {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    for name, entry in sorted(entries.items()):
        if name in own or not (listing or name in arguments):
            continue
        try:
            app.command(name)(entry.load())
        except ImportError as error:
            anything = {"allow_extra_args": True, "ignore_unknown_options": True}
            app.command(name, context_settings=anything)(not_installed(name, error, entry.extras))


def not_installed(name: str, error: ImportError, extras: Sequence[str]) -> Command:
    """A command that says which extras it needs, those that its entry point names."""
    install = f" Install them with: pip install 'equifield[{','.join(extras)}]'" if extras else ""

    def command() -> None:
        typer.echo(f"equifield: `{name}` needs packages that are not installed ({error}).{install}", err=True)
        raise typer.Exit(ExitCode.NOT_INSTALLED)

    command.__doc__ = f"Needs packages that are not installed.{install}"
    return command
