"""The paper's results from finished suites: enrichment, cells by dose, then the page with its tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.analyses.dose_embedding import embed
from benchmarks.analyses.gene_set_enrichment.analysis import EnrichmentRequest, analyse, write
from benchmarks.errors import BenchmarkError
from benchmarks.execution.load_run import reopen
from benchmarks.tasks.suites import SCIPLEX
from reports.pages.paper_page import write_paper
from reports.tables import ReportError


def write_all(folders: Mapping[str, Path], out: Path, data_dir: Path | None = None) -> Iterator[str]:
    """Analyse finished runs (suite → folder) and write the page to `out`; a step that fails stops no other.

    Yields
    ------
    A line for each step: what was written, or why not.
    """
    steps: dict[str, Callable[[], list[Path]]] = {}
    if drugs := folders.get(SCIPLEX.name):
        request, folder = EnrichmentRequest(), drugs / "enrichment"
        steps["enrichment (Figure 6)"] = lambda: write(analyse(reopen(drugs, data_dir), request), folder)
        steps["cells by dose (Figure 5)"] = lambda: embed(reopen(drugs, data_dir))
    steps["the paper's page"] = lambda: write_paper(folders, out)  # last: it shows what the others made
    for name, step in steps.items():
        try:
            yield f"{name}: {step()[-1]}"
        except (BenchmarkError, ReportError) as error:
            yield f"{name}: not made. {type(error).__name__}: {error}"
