"""Summary of the true cells of every condition of a fold, computed once and shared by all models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.scoring.metrics.copying import honest_margin
from benchmarks.scoring.metrics.differential import Tests, linear_mean, test_genes
from benchmarks.scoring.metrics.distribution import bandwidth
from benchmarks.scoring.metrics.rank_sum import SortedCells, sort_cells
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.table import Cells, mean_profile, take

TOPS = (20, 50, 100)
BANDWIDTH_CELLS = 500
"""Most cells a side from which the kernel's bandwidth is estimated; both sides give equally many."""


@dataclass(frozen=True)
class TruthSummary:
    """True cells of every condition, summarised."""

    cells_of: Callable[[int], Cells]
    """Number of a condition → its true cells."""
    profiles: np.ndarray
    """Mean profiles [condition, gene]."""
    n_cells: np.ndarray
    significant: np.ndarray
    """Genes changed from R at FDR < 0.05 [condition, gene]."""
    lfc: np.ndarray
    """log2 fold changes against R [condition, gene]."""
    tops: dict[int, np.ndarray]
    """k → the k significant genes of largest |log2 fold change|; no gene where fewer are significant."""
    projected: Sequence[np.ndarray | None]
    """Cells in principal components; None without training cells."""
    bandwidths: np.ndarray
    """Bandwidth of the kernel of `mmd_rbf` [condition], in units of the principal components."""
    margin_bound: np.ndarray
    """Lower 95 % bound of the copy margin of real cells [condition]."""
    orders: Sequence[np.ndarray]
    """A random order of every condition's cells, whose first n are taken where equal sizes are needed."""
    within: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    """(condition, cells) → mean distance and mean kernel among the first so many cells of the order, once computed."""


def summarise_truth(
    fold: ScoredFold, cells_of: Callable[[int], Cells] | None = None, *, like: TruthSummary | None = None
) -> TruthSummary:
    """Summarise the true cells.

    Parameters
    ----------
    cells_of
        Number of a condition → its true cells; default: all test cells of the condition.
    like
        Summary of all test cells, where `cells_of` gives a part of them: its kernel widths and copy bounds are used for the
        part too.
    """
    cells_of = cells_of or fold.truth_cells

    def summarise(number: int) -> dict[str, object]:
        cells = cells_of(number)
        profile = mean_profile(cells)
        tests = gene_tests(fold, number, sort_cells(cells), profile)
        projected = fold.project(cells)
        return {
            "profile": profile,
            "significant": tests.significant,
            "lfc": tests.lfc,
            "projected": projected,
            "bandwidth": like.bandwidths[number] if like else _bandwidth(fold, number, projected),
            "bound": like.margin_bound[number] if like else _bound(fold, number, cells),
            "order": fold.generator(number, "order").permutation(cells.shape[0]),
        }

    rows = fold.each(summarise)

    def column(name: str) -> list:
        return [row[name] for row in rows]

    significant, lfc = np.array(column("significant")), np.array(column("lfc"))
    return TruthSummary(
        cells_of=cells_of,
        profiles=np.array(column("profile")),
        n_cells=np.array([len(order) for order in column("order")]),
        significant=significant,
        lfc=lfc,
        tops=top_genes(significant, lfc, TOPS),
        projected=column("projected"),
        bandwidths=np.array(column("bandwidth")),
        margin_bound=np.array(column("bound")),
        orders=column("order"),
    )


def gene_tests(fold: ScoredFold, number: int, cells: SortedCells, profile: np.ndarray) -> Tests:
    """Test every gene of some cells, with mean profile [gene], against the condition's reference cells R."""
    mean = linear_mean(cells) if fold.linear else profile
    return test_genes(cells, fold.sorted_reference[number], mean, fold.reference_means[number], linear=fold.linear)


def top_genes(significant: np.ndarray, lfc: np.ndarray, sizes: Sequence[int]) -> dict[int, np.ndarray]:
    """Mark the k significant genes of largest |log2 fold change| [condition, gene], for every k.

    No gene of a condition with fewer significant ones. Ties at the cut are broken by the gene's position.
    """
    order = np.argsort(np.where(significant, -np.abs(lfc), 1.0), axis=1, kind="stable")
    found = {}
    for k in sizes:
        chosen = np.zeros_like(significant)
        np.put_along_axis(chosen, order[:, :k], True, axis=1)
        found[k] = chosen & (significant.sum(axis=1) >= k)[:, None]
    return found


def _bound(fold: ScoredFold, number: int, cells: Cells) -> float:
    return honest_margin(cells, fold.start[number], fold.generator(number, "margin"))


def _bandwidth(fold: ScoredFold, number: int, projected: np.ndarray | None) -> float:
    """Median distance among true and reference cells: the same for every model; NaN without training cells."""
    if projected is None or fold.training is None:
        return float("nan")
    positions = fold.conditions[number].reference(fold.direction)
    n = min(BANDWIDTH_CELLS, len(positions), len(projected))
    generator = fold.generator(number, "bandwidth")
    cells = take(fold.cells, np.sort(generator.choice(positions, n, replace=False)))
    others = fold.training.components.transform(cells)
    return bandwidth(projected[generator.permutation(len(projected))[:n]], others)
