"""The command `cycseq-bench`: one subcommand a file of `benchmarks/cli/commands`, imported only when it is called."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

FOLDER = Path(__file__).parent / "commands"
SUFFIX = "_command.py"
"""File `NAME_command.py` holds subcommand NAME: a module with `app`, a Typer application."""


class Commands(TyperGroup):
    """The subcommands, found by file name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all subcommands."""
        return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"[!_]*{SUFFIX}"))

    def get_command(self, ctx: Any, name: str) -> Any:
        """Import one subcommand; None if there is none of this name."""
        if name not in self.list_commands(ctx):
            return None
        return find_command(name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List every subcommand with the first line of its module's docstring; nothing is imported for it."""
        rows = [(name, _summary(FOLDER / f"{name}{SUFFIX}")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(importlib.metadata.version("cycseq-bench"))
        raise typer.Exit


@app.callback(context_settings={"help_option_names": ["-h", "--help"]})
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train, score and compare perturbation predictors on shared, leak-free splits."""


def find_command(name: str) -> Callable[..., object]:
    """Import a subcommand by name."""
    return typer.main.get_command(importlib.import_module(f"benchmarks.cli.commands.{name}_command").app)


def run_as(name: str) -> None:
    """Run one subcommand with this process's arguments, as `python -m benchmarks.NAME` does."""
    find_command(name)()


def _summary(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0].rstrip(".")
