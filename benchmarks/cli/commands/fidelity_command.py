"""The command line: `python -m benchmarks.fidelity --data-dir DIR --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from benchmarks.analyses.simulation_fidelity.count_statistics import Counts, control_counts, summary
from benchmarks.analyses.simulation_fidelity.effect_sizes import effect_table
from benchmarks.analyses.simulation_fidelity.fidelity_figures import draw_counts, draw_effects
from benchmarks.analyses.simulation_fidelity.fidelity_page import write_page
from benchmarks.cli.exit_codes import exit_statuses
from benchmarks.data import cards
from benchmarks.data.dataset import Dataset, load_dataset

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console(stderr=True)
TINY = ("smoke_simulated",)
"""Simulated data sets that are too small to be like anything."""


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
        report(out, data_dir, real, twin or default_twins(), seed)


def default_twins() -> list[str]:
    """Name all simulated data sets but the tiny one."""
    return [n for n in cards.available() if cards.read_card(n).source == "simulated" and n not in TINY]


def report(out: Path, data_dir: Path | None, real: str, twins: list[str], seed: int) -> None:
    """Measure, draw and write; one data set is held at a time.

    Raises
    ------
    BenchmarkError
        A name that is not known, or data that cannot be had.
    """
    out.mkdir(parents=True, exist_ok=True)
    statistics, effects, figures = [], [], []
    real_counts: dict[str, Counts] = {}
    for name in [real, *twins]:
        console.print(f"{name} ...", highlight=False)
        dataset = load_dataset(name, data_dir=data_dir)
        counts = _contexts(dataset)
        statistics += [_labelled(summary(c), dataset, context) for context, c in counts.items()]
        effects.append(effect_table(dataset, seed))
        real_counts = real_counts or counts  # the real data set is the first
        if len(effects) > 1:
            figures.append(draw_counts(real_counts, counts, (real, name), out / f"counts_{name}"))
    table, conditions = pd.DataFrame(statistics), pd.concat(effects, ignore_index=True)
    figures.append(draw_effects(conditions, out / "effects"))
    table.to_csv(out / "counts.csv", index=False)
    conditions.to_csv(out / "effects.csv", index=False)
    (out / "fidelity.md").write_text(write_page(table, conditions, [f.name for f in figures]), encoding="utf-8")
    console.print(f"Written: {out / 'fidelity.md'}", highlight=False)


def _contexts(dataset: Dataset) -> dict[str, Counts]:
    return {context: control_counts(dataset, context) for context in sorted(set(dataset.cells.obs["context"]))}


def _labelled(values: pd.Series, dataset: Dataset, context: str) -> pd.Series:
    labels = pd.Series({"source": dataset.card.source, "dataset": dataset.card.name, "context": context})
    return pd.concat([labels, values])


if __name__ == "__main__":
    app()
