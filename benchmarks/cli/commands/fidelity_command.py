"""Compare simulated data sets with real cells: counts, effects and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.cli.exit_codes import exit_statuses, say

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console(stderr=True)


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def main(
    out: Annotated[Path, typer.Option(help="Folder for fidelity.md, the tables and the figures.")] = Path("fidelity"),
    data_dir: Annotated[Path | None, typer.Option(help="Folder with local copies of data files.")] = None,
    real: Annotated[str, typer.Option(help="Data set of real cells.")] = "perturbench_devel",
    twin: Annotated[list[str] | None, typer.Option(help="A simulated data set; repeatable; default: all.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of halves and permutations.")] = 0,
) -> None:
    """Compare simulated data sets with real cells: counts, effects, figures side by side."""
    with exit_statuses(console, "Give the same command again."):
        from benchmarks.analyses.simulation_fidelity.fidelity_report import default_twins, write_report

        page = write_report(out, [real, *(twin or default_twins())], data_dir, seed, lambda line: say(console, line))
    say(console, f"Written: {page}")
