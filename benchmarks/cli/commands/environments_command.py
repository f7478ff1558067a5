"""List, make or remove the Python environments of models that cannot live beside the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from rich.table import Column, Table
from typer import Argument

from benchmarks.cli.console import console, say
from benchmarks.cli.options import Plugins, choice
from benchmarks.errors import BenchmarkError, UnknownName

if TYPE_CHECKING:
    from benchmarks.contract import Baseline

INTERRUPTED = "Nothing half-made is left."
ACTIONS = ("list", "create", "remove")


def main(
    action: Annotated[str, Argument(help=f"One of {', '.join(ACTIONS)}.")],
    name: Annotated[str | None, Argument(help="An isolated model; see `list`.")] = None,
    plugin: Plugins = None,
) -> None:
    """List isolated models and whether their environments are made, or make or remove one.

    A run makes what it needs by itself; `create` does it beforehand, where there is a network.

    Exit status: 0 all went well, 2 the arguments or the package index are not usable, 130 interrupted (nothing half-made is
    left).
    """
    from benchmarks import registry
    from benchmarks.execution.models.model_environment import create, environment_of, remove

    chosen = choice("The action", action, ACTIONS)
    known = {n: r for n, r in registry.available(tuple(plugin or ())).items() if r.isolated}
    if chosen == "list":
        return _list(known)
    if name is None:
        raise BenchmarkError(f"Name an isolated model. Known: {', '.join(known) or 'none'}.")
    if name not in known:
        raise UnknownName("isolated model", name, known)
    environment = environment_of(known[name])
    if chosen == "create":
        with console.status(f"making {name}'s environment") as status:
            made = create(environment, status.update)
        say(f"{environment.folder}: {'made' if made else 'was there'}, {len(environment.installed())} packages.")
    else:
        say(f"{environment.folder}: {'removed' if remove(environment) else 'was not there'}.")


def _list(known: dict[str, Baseline]) -> None:
    from benchmarks.execution.models.model_environment import environment_of, root

    folded = (Column(title, overflow="fold") for title in ("requirements", "environment"))
    table = Table(Column("model", no_wrap=True), *folded, box=None, padding=(0, 2))
    for name, record in known.items():
        environment = environment_of(record)
        state = str(environment.folder) if environment.ready else f"not made: {environment.command}"
        table.add_row(name, ", ".join(record.requirements), state)
    console.print(table, markup=False, highlight=False)
    used = {environment_of(record).folder for record in known.values()}
    for folder in sorted(root().glob("[!.]*")):
        if folder not in used:
            say(f"{folder}: no model has it, as requirements or the Python version changed; it can be deleted.")
