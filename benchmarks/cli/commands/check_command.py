"""Check that a plugin file keeps the contract."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit

from benchmarks.cli.console import console, say


def main(
    path: Annotated[Path, Argument(help="A plugin file: one predictor, ending in BASELINE = Baseline(…).")],
) -> None:
    """Check that a plugin keeps the contract; exit status 1 if it does not, 2 if the file cannot be used."""
    from benchmarks import registry
    from benchmarks.conformance import capabilities, checks, leaks

    records = registry.from_file(path)
    heavy = ", ".join(checks.heavy_imports(path))
    expected = "importing the file imports nothing heavy; import such packages in fit"
    results = [checks.CheckResult("imports_lightly", expected, f"it imports {heavy}" if heavy else "")]
    with tempfile.TemporaryDirectory(prefix="cycseq-check-") as folder:
        screen = checks.tiny_screen(Path(folder))
        for record in records:
            say(f"{record.name}: {record.summary}")
            results += checks.check(record, screen) + capabilities.check_abilities(record, screen)
            results.append(leaks.check_leaks(record, screen))
    for result in results:
        console.print("[red]FAIL[/] " if result.problem else "[green]ok[/]   ", end="")
        say(f"{result.name}: {result.problem or result.expectation}")
    if any(r.problem for r in results):
        raise Exit(1)
    say(f"All checks passed: run it with  cycseq-bench run --plugin {path} --models {records[0].name}")
