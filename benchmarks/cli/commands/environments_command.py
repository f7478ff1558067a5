"""List, make or remove the Python environments of models that cannot live beside the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.cli.exit_codes import exit_statuses, say
from benchmarks.cli.options import Plugins, choice
from benchmarks.errors import BenchmarkError, UnknownName

if TYPE_CHECKING:
    from benchmarks.contract import Baseline
    from benchmarks.execution.models.model_environment import Environment

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console()
ACTIONS = ("list", "create", "remove")


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def main(
    action: Annotated[str, typer.Argument(help=f"One of {', '.join(ACTIONS)}.")],
    name: Annotated[str | None, typer.Argument(help="An isolated model; see `list`.")] = None,
    plugin: Plugins = None,
) -> None:
    """List isolated models and whether their environments are made, or make or remove one.

    A run makes what it needs by itself; `create` does it beforehand, where there is a network.

    Exit status: 0 all went well, 2 the arguments or the package index are not usable, 130 interrupted (nothing half-made is
    left).
    """
    with exit_statuses(console, "Nothing half-made is left."):
        from benchmarks import registry
        from benchmarks.execution.models import model_environment

        chosen = choice("The action", action, ACTIONS)
        known = {n: r for n, r in registry.available(tuple(plugin or ())).items() if r.isolated}
        if chosen == "list":
            _list(known)
        elif name is None:
            raise BenchmarkError(f"Name an isolated model. Known: {', '.join(known) or 'none'}.")
        elif name not in known:
            raise UnknownName("isolated model", name, known)
        elif chosen == "create":
            _create(model_environment.environment_of(known[name]))
        else:
            environment = model_environment.environment_of(known[name])
            removed = model_environment.remove(environment)
            say(console, f"{environment.folder}: {'removed' if removed else 'was not there'}.")


def _list(known: dict[str, Baseline]) -> None:
    from benchmarks.execution.models.model_environment import environment_of, root

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
            say(
                console, f"{folder}: no model has it, as requirements or the Python version changed; it can be deleted."
            )


def _create(environment: Environment) -> None:
    from benchmarks.execution.models.model_environment import create

    with console.status(f"making {environment.model}'s environment") as status:
        made = create(environment, status.update)
    say(console, f"{environment.folder}: {'made' if made else 'was there'}, {len(environment.installed())} packages.")
