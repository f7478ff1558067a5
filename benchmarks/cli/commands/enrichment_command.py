"""Enrich gene sets in predicted and true changes of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from benchmarks.cli.console import console, say
from benchmarks.cli.options import DataDir, choice, split_names

if TYPE_CHECKING:
    from benchmarks.analyses.gene_set_enrichment.analysis import Enrichment


def main(
    run: Annotated[Path, Argument(help="Folder of a finished run.")],
    gene_sets: Annotated[Path | None, Option(help="GMT file; default: the data set's annotation.")] = None,
    condition: Annotated[
        list[str] | None, Option(help="PERTURBATION or CONTEXT/PERTURBATION; repeatable; default: the strongest.")
    ] = None,
    conditions: Annotated[int, Option(min=1, help="How many, where none is named.")] = 3,
    models: Annotated[str, Option(help="Comma-separated; default: all of the run.")] = "",
    direction: Annotated[str, Option(help="n2p or p2n.")] = "n2p",
    show: Annotated[list[str] | None, Option(help="Gene set to draw; repeatable; default: the top ones.")] = None,
    min_size: Annotated[int, Option(min=2, help="Fewest measured genes of a set.")] = 10,
    max_size: Annotated[int, Option(min=2, help="Most measured genes of a set.")] = 500,
    permutations: Annotated[int, Option(min=100, help="Random sets that scores are normalised by.")] = 1000,
    data_dir: DataDir = None,
) -> None:
    """Enrich gene sets in predicted and in true changes; write RUN/enrichment/*.csv and the enrichment plots.

    Exit status: 0 done, 2 the run, a name or the gene sets cannot be used.
    """
    from benchmarks.analyses.gene_set_enrichment.analysis import EnrichmentRequest, analyse, write
    from benchmarks.contract import DIRECTIONS
    from benchmarks.execution.load_run import reopen

    request = EnrichmentRequest(
        gene_sets=gene_sets,
        conditions=tuple(condition or ()),
        models=split_names(models),
        direction=choice("--direction", direction, DIRECTIONS),
        show=tuple(show or ()),
        n_conditions=conditions,
        permutations=permutations,
        min_size=min_size,
        max_size=max_size,
    )
    found = analyse(reopen(run, data_dir), request)
    paths = write(found, run / "enrichment")
    _print(found)
    say("\n".join(f"Wrote {path}" for path in paths))


def _print(found: Enrichment) -> None:
    from reports.figures.enrichment_figure import name_condition

    for _, rows in found.agreement.groupby(["context", "perturbation", "dose"], sort=False, dropna=False):
        first = rows.iloc[0]
        chance = f"{first['n_sets']} sets, chance of a shared top set {first['top_chance']:.0%}"
        table = Table("model", "Spearman of NES", "top sets shared", "right sign", box=None, title_justify="left")
        table.title = Text(f"{name_condition(first)}: {chance}")
        for row in rows.itertuples():
            signs = f"{row.sign_share:.0%} of {row.n_significant_true}" if row.n_significant_true else "–"
            table.add_row(row.model, f"{row.spearman_nes:.2f}", f"{row.top_overlap:.0%} of {row.top_k}", signs)
        console.print(table, markup=False)
