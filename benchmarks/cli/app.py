"""The command `cycseq-bench`: one subcommand a file of `benchmarks/cli/commands`, imported only when it is called."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Exit, Option
from typer.core import TyperGroup

from benchmarks.cli.console import exit_statuses

FOLDER = Path(__file__).parent / "commands"
SUFFIX = "_command.py"
"""File `NAME_command.py` holds subcommand NAME: a module with `main`, a function whose parameters are its options. A text
`INTERRUPTED` in it says what is left after Ctrl-C."""
HELP = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """The subcommands, found by file name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all subcommands."""
        return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"[!_]*{SUFFIX}"))

    def get_command(self, ctx: Any, name: str) -> Any:
        """Import one subcommand; None if there is none of this name."""
        return typer.main.get_command(application(name)) if name in self.list_commands(ctx) else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List every subcommand with the first line of its module's docstring; nothing is imported for it."""
        rows = [(name, _summary(FOLDER / f"{name}{SUFFIX}")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _version(asked: bool) -> None:
    if asked:
        import importlib.metadata  # takes as long as the rest of --help

        typer.echo(importlib.metadata.version("cycseq-bench"))
        raise Exit


@app.callback(context_settings=HELP)
def main(
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Train, score and compare perturbation predictors on shared, leak-free splits."""


def application(name: str) -> typer.Typer:
    """Import a subcommand by name, as an application of its own."""
    module = importlib.import_module(f"benchmarks.cli.commands.{name}_command")
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    single.command(name, context_settings=HELP)(exit_statuses(getattr(module, "INTERRUPTED", ""))(module.main))
    return single


def run_as(name: str, module: str) -> None:
    """Run one subcommand with this process's arguments, if the module that calls is the program: `python -m benchmarks.NAME`."""
    if module == "__main__":
        application(name)()


def _summary(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0].rstrip(".")
