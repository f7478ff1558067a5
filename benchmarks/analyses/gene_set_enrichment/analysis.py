"""Enrichment of a finished run: truth, split half and every model, condition by condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.analyses.gene_set_enrichment import prerank
from benchmarks.analyses.gene_set_enrichment.prerank import Enriched, GeneSets
from benchmarks.contract import Direction
from benchmarks.data.store.atomic_files import write_csv
from benchmarks.data.store.folder_digests import update_sums
from benchmarks.errors import DataError, UnknownName
from benchmarks.execution.load_run import DirectedCondition, FinishedRun, changes, choose, half_changes, own_genes
from benchmarks.seeds import derive
from reports.figures.enrichment_figure import SHOWN, TRUTH, draw_enrichment

SPLIT_HALF = "split_half"
_OTHER_HALF = "other half"
PAPERS_COMPOUND = "Temsirolimus"
"""Compound of the CycSeq paper's Figure 6 (printed as Temozolomide); a default condition wherever it was tested."""


@dataclass(frozen=True)
class EnrichmentRequest:
    """Conditions, models and gene sets to analyse."""

    gene_sets: Path | None = None
    """GMT file; None: the data set's own annotation."""
    conditions: tuple[str, ...] = ()
    """Names as `load_run.choose` takes them; empty: those of `strongest`."""
    models: tuple[str, ...] = ()
    """Empty: all that take the direction."""
    direction: Direction = "n2p"
    show: tuple[str, ...] = ()
    """Sets whose running sums are kept; empty: those most enriched in the truth."""
    n_conditions: int = 3
    """Conditions chosen where none is named."""
    permutations: int = 1000
    min_size: int = 10
    max_size: int = 500
    """Fewest and most measured genes of a set."""


@dataclass(frozen=True)
class Enrichment:
    """Tables of an analysis; each begins with `enrichment_figure.ENRICHMENT_KEYS`."""

    enrichment: pd.DataFrame
    agreement: pd.DataFrame
    running: pd.DataFrame


def analyse(run: FinishedRun, request: EnrichmentRequest) -> Enrichment:
    """Enrich the true and the predicted change of some conditions.

    The true change is T − R and the predicted one P − I, without a shared control cell; the perturbed gene itself is left
    out of the ranking, since its change follows from its name. Trainings other than those of seed 0 are not read.

    Raises
    ------
    UnknownName, DataError, BenchmarkError
        An unknown condition, model or set, sets that do not fit the data, or gseapy is missing.
    """
    every = run.conditions(request.direction)
    chosen = choose(every, request.conditions) if request.conditions else strongest(run, every, request.n_conditions)
    models = run.models(request.direction, request.models)
    sets = gene_sets(run, request)
    tables, agreements, sums = [], [], []
    for asked in chosen:
        keys = run.plan.labels | {
            "direction": request.direction,
            "fold": asked.split.fold,
            "context": asked.condition.context,
            "perturbation": asked.condition.perturbation,
            "dose": np.nan if asked.dose is None else asked.dose,
        }
        found = dict(_sides(run, asked, models, sets, request))
        other_half = found.pop(_OTHER_HALF)
        shown = _shown(found[TRUTH], sets, request.show)
        for model, side in found.items():
            labels = keys | {"model": model}
            if len(side.table):
                tables.append(_label(side.table, labels))
                sums.append(_label(side.running[side.running["gene_set"].isin(shown)], labels))
            if model != TRUTH:
                true = other_half if model == SPLIT_HALF else found[TRUTH]
                agreements.append(labels | prerank.agree(true.table, side.table))
    return Enrichment(
        pd.concat(tables, ignore_index=True), pd.DataFrame(agreements), pd.concat(sums, ignore_index=True)
    )


def _label(table: pd.DataFrame, labels: dict[str, object]) -> pd.DataFrame:
    return pd.concat([pd.DataFrame(labels, index=table.index), table], axis="columns")


def write(found: Enrichment, folder: Path) -> list[Path]:
    """Write the three tables and a figure per condition into a folder of a run; raises `StoreError`."""
    paths = {folder / f"{name}.csv": table for name, table in vars(found).items()}
    for path, table in paths.items():
        write_csv(table, path)
    written = [*paths, *draw_enrichment(folder)]
    update_sums(folder.parent, written)
    return written


def gene_sets(run: FinishedRun, request: EnrichmentRequest) -> GeneSets:
    """Read the sets and cut them to the genes of a run; raises `DataError` where there are none."""
    dataset = run.plan.dataset
    if request.gene_sets is None and not dataset.annotation:
        raise DataError(f"{dataset.card.name} has no gene annotation; name a GMT file with --gene-sets.")
    sets = (
        prerank.read_gene_sets(request.gene_sets) if request.gene_sets else prerank.annotation_sets(dataset.annotation)
    )
    return prerank.usable_sets(sets, run.plan.cells.var_names, request.min_size, request.max_size)


def strongest(run: FinishedRun, every: list[DirectedCondition], n: int) -> list[DirectedCondition]:
    """Choose the conditions whose truth has most significant genes, Temsirolimus first where it was tested.

    The choice depends on the truth alone, not on any model.
    """
    table = pd.read_csv(run.folder / "conditions.csv")
    table = table[table["direction"] == every[0].direction]
    doses = table["dose"].fillna(-1.0)
    keys = zip(table["fold"], table["context"], table["perturbation"], doses, strict=True)
    counts = dict(zip(keys, table["n_significant_genes"], strict=True))

    def order(asked: DirectedCondition) -> tuple[float, str, int]:
        own, dose = asked.condition, -1.0 if asked.dose is None else asked.dose
        return -counts.get((asked.split.fold, own.context, own.perturbation, dose), 0), asked.name, asked.split.fold

    ordered = sorted(every, key=order)
    first = [a for a in ordered if PAPERS_COMPOUND.casefold() in a.condition.perturbation.casefold()][:1]
    return [*first, *(a for a in ordered if a not in first)][:n]


def _sides(
    run: FinishedRun, asked: DirectedCondition, models: list[str], sets: GeneSets, request: EnrichmentRequest
) -> Iterator[tuple[str, Enriched]]:
    """Enrich the truth, both halves of the split half, and every model with a prediction."""
    cells = run.cells_of(asked.split)
    seed = derive(run.plan.question.base_seed, "enrichment", asked.direction, asked.name)
    keep = np.ones(len(cells.var_names), dtype=bool)
    keep[own_genes(asked, cells.var_names)] = False
    genes = list(cells.var_names[keep])
    left = prerank.usable_sets(sets, genes, request.min_size, request.max_size)

    def side(name: str, change: np.ndarray) -> tuple[str, Enriched]:
        return name, prerank.enrich(
            change[keep], genes, left, permutations=request.permutations, seed=derive(seed, name)
        )

    true, start = changes(cells, asked)
    yield side(TRUTH, true)
    one, other = half_changes(cells, asked, seed)
    yield side(SPLIT_HALF, one)
    yield side(_OTHER_HALF, other)
    for model in models:
        mean = run.mean(asked, model)
        if mean is not None:
            yield side(model, mean - start)


def _shown(truth: Enriched, sets: GeneSets, wanted: tuple[str, ...]) -> list[str]:
    """Sets to draw: those wanted, else the truth's of largest |NES|."""
    for name in wanted:
        if name not in sets:
            raise UnknownName("gene set", name, sets)
    if wanted:
        return list(wanted)
    table = truth.table.assign(size=truth.table["nes"].abs()).sort_values(["size", "gene_set"], ascending=[False, True])
    return list(table["gene_set"].head(SHOWN))
