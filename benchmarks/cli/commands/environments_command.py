"""The command line of isolated models' environments: `python -m benchmarks.environments list|create NAME|remove NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import registry
from benchmarks.cli.exit_codes import exit_statuses, say
from benchmarks.cli.options import choice
from benchmarks.contract import Baseline
from benchmarks.errors import BenchmarkError, UnknownName
from benchmarks.execution.models.model_environment import Environment, create, environment_of, remove, root

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console()
ACTIONS = ("list", "create", "remove")


@app.command()
def main(
    action: Annotated[str, typer.Argument(help=f"One of {', '.join(ACTIONS)}.")],
    name: Annotated[str | None, typer.Argument(help="An isolated model; see `list`.")] = None,
    plugin: Annotated[list[Path] | None, typer.Option(help="A plugin file of yours; repeatable.")] = None,
) -> None:
    """Make or remove the Python environments of models that cannot live beside the others.

    A run makes what it needs by itself; `create` does it beforehand, where there is a network. list: the isolated models,
    and whether their environments are made.

    Exit status: 0 all went well, 2 the request or the package index is not usable, 130 interrupted (nothing half-made is
    left).
    """
    with exit_statuses(console, "Nothing half-made is left."):
        chosen = choice("The action", action, ACTIONS)
        known = {n: r for n, r in registry.available(tuple(plugin or ())).items() if r.isolated}
        if chosen == "list":
            _list(known)
        elif chosen == "create":
            _create(_find(name, known))
        else:
            environment = _find(name, known)
            _say(f"{environment.folder}: {'removed' if remove(environment) else 'was not there'}.")


def _find(name: str | None, known: dict[str, Baseline]) -> Environment:
    if name is None:
        raise BenchmarkError(f"Name an isolated model. Known: {', '.join(known) or 'none'}.")
    if name not in known:
        raise UnknownName("isolated model", name, known)
    return environment_of(known[name])


def _list(known: dict[str, Baseline]) -> None:
    table = Table(box=None, padding=(0, 2))
    for title in ("model", "requirements", "environment"):
        table.add_column(title, no_wrap=title == "model", overflow="fold")
    for name, record in known.items():
        environment = environment_of(record)
        state = str(environment.folder) if environment.ready else f"not made: {environment.command}"
        table.add_row(name, ", ".join(record.requirements), state)
    console.print(table, highlight=False)
    used = {environment_of(record).folder for record in known.values()}
    for folder in sorted(root().glob("[!.]*")):
        if folder not in used:
            _say(f"{folder}: no model's, as its requirements or the Python version changed; it can be deleted.")


def _create(environment: Environment) -> None:
    with console.status(f"making {environment.model}'s environment") as status:
        made = create(environment, status.update)
    _say(f"{environment.folder}: {'made' if made else 'was there'}, {len(environment.installed())} packages.")


def _say(text: str) -> None:
    say(console, text)


if __name__ == "__main__":
    app()
