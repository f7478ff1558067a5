"""Compare simulated data sets with real cells: counts, effects and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from benchmarks.cli.console import say
from benchmarks.cli.options import DataDir


def main(
    out: Annotated[Path, Option(help="Folder for fidelity.md, the tables and the figures.")] = Path("fidelity"),
    data_dir: DataDir = None,
    real: Annotated[str, Option(help="Data set of real cells.")] = "perturbench_devel",
    twin: Annotated[list[str] | None, Option(help="A simulated data set; repeatable; default: all.")] = None,
    seed: Annotated[int, Option(help="Seed of halves and permutations.")] = 0,
) -> None:
    """Compare simulated data sets with real cells: counts, effects, figures side by side."""
    from benchmarks.analyses.simulation_fidelity.fidelity_report import default_twins, write_report

    page = write_report(out, [real, *(twin or default_twins())], data_dir, seed, say)
    say(f"Written: {page}")
