"""The paper's results from finished suites: enrichment, cells by dose, then the page with its tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks.analyses.dose_embedding import embed
from benchmarks.analyses.gene_set_enrichment.analysis import EnrichmentRequest, analyse, write
from benchmarks.errors import BenchmarkError
from benchmarks.execution.load_run import reopen
from benchmarks.tasks.suites import SCIPLEX
from reports.pages.paper_page import write_paper
from reports.tables import ReportError

Step = Callable[[], list[Path]]


def write_all(folders: Mapping[str, Path], out: Path, data_dir: Path | None = None) -> Iterator[str]:
    """Analyse finished runs and write the page; a step that fails yields its reason and stops no other.

    Parameters
    ----------
    folders
        Suite → folder of its finished run.
    out
        Folder of the page.
    data_dir
        Folder with local copies of data files.

    Yields
    ------
    A line for each step: what was written, or why not.
    """
    drugs, steps = folders.get(SCIPLEX.name), dict[str, Step]()
    if drugs is not None:
        steps["enrichment (Figure 6)"] = partial(_enrich, drugs, data_dir)
        steps["cells by dose (Figure 5)"] = partial(_embed, drugs, data_dir)
    steps["the paper's page"] = partial(write_paper, folders, out)  # last: it shows what the others made
    for name, step in steps.items():
        try:
            yield f"{name}: {step()[-1]}"
        except (BenchmarkError, ReportError) as error:
            yield f"{name}: not made. {type(error).__name__}: {error}"


def _enrich(run: Path, data_dir: Path | None) -> list[Path]:
    return write(analyse(reopen(run, data_dir), EnrichmentRequest()), run / "enrichment")


def _embed(run: Path, data_dir: Path | None) -> list[Path]:
    return embed(reopen(run, data_dir))
