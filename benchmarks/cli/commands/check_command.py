"""Check that a plugin file keeps the contract."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import registry
from benchmarks.cli.exit_codes import exit_statuses
from benchmarks.conformance.checks import CheckResult, check, check_abilities, heavy_imports, tiny_screen

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    path: Annotated[Path, typer.Argument(help="A plugin file: one predictor, ending in BASELINE = Baseline(…).")],
) -> None:
    """Check that a plugin keeps the contract; exit status 1 if it does not, 2 if the file cannot be used."""
    console = Console()
    with exit_statuses(console, "Give the same command again."):
        records = registry.from_file(path)
        heavy = heavy_imports(path)
    results = [
        CheckResult(
            "imports_lightly",
            "importing the file imports nothing heavy; import such packages in fit",
            f"it imports {', '.join(heavy)}" if heavy else "",
        )
    ]
    with tempfile.TemporaryDirectory(prefix="cycseq-check-") as folder:
        screen = tiny_screen(Path(folder))
        for record in records:
            console.print(f"[bold]{record.name}[/]: {record.summary}", highlight=False)
            results += check(record, screen)
            results += check_abilities(record, screen)
    for result in results:
        mark = "[red]FAIL[/]" if result.problem else "[green]ok  [/]"
        console.print(f"{mark} {result.name}: {result.problem or result.expectation}", highlight=False, soft_wrap=True)
    if any(r.problem for r in results):
        raise typer.Exit(1)
    console.print(
        f"All checks passed: run it with  python -m benchmarks.run --plugin {path} --models {records[0].name}",
        highlight=False,
        soft_wrap=True,
    )
