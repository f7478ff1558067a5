"""Gene sets, their enrichment in one change of expression (gseapy's pre-ranked GSEA, offline), and agreement of two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.data.annotation import Annotation
from benchmarks.data.readers.text_tables import open_text
from benchmarks.errors import DataError
from benchmarks.execution.models.local_model import needing
from benchmarks.scoring.metrics.profile import FLAT

GeneSets = Mapping[str, tuple[str, ...]]
"""Name → genes, both in alphabetical order."""
COLUMNS = ("gene_set", "size", "es", "nes", "p", "fdr")
RUNNING_COLUMNS = ("gene_set", "rank", "running", "hit")
TIE = 1e-7
"""Share of the largest change of the random noise that orders equal changes."""
SIGNIFICANT = 0.05
"""False discovery rate below which a set counts as enriched."""


def read_gene_sets(path: Path) -> GeneSets:
    """Read gene sets from a file `*.gmt` or `*.gmt.gz`: a line a set, tab-separated name, description, genes.

    Raises
    ------
    DataError
        No such file, another format, or a name given twice.
    """
    if not path.is_file() or not path.name.endswith((".gmt", ".gmt.gz")):
        raise DataError(
            f"Gene sets {path}: expected an existing file *.gmt or *.gmt.gz (name, description, genes by tabs)."
        )
    found: dict[str, tuple[str, ...]] = {}
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            name, *rest = line.rstrip("\n").split("\t")
            genes = tuple(sorted({gene.strip() for gene in rest[1:]} - {""}))
            if not name or not genes:
                raise DataError(f"{path}, line {number}: expected a name, a description and genes, separated by tabs.")
            if name in found:
                raise DataError(f"{path}, line {number}: the set '{name}' is given twice.")
            found[name] = genes
    return dict(sorted(found.items()))


def annotation_sets(annotation: Annotation) -> GeneSets:
    """Turn gene → terms into term → genes."""
    pairs = sorted((term, gene) for gene, terms in annotation.items() for term in terms)
    return {term: tuple(gene for _, gene in own) for term, own in groupby(pairs, key=itemgetter(0))}


def usable_sets(sets: GeneSets, genes: Iterable[str], least: int, most: int) -> GeneSets:
    """Cut sets down to measured genes and keep those of `least` to `most` genes.

    Raises
    ------
    DataError
        None is left: most often because the sets name genes in another way than the data.
    """
    measured = set(genes)
    cut = {name: tuple(gene for gene in own if gene in measured) for name, own in sets.items()}
    kept = {name: own for name, own in cut.items() if least <= len(own) <= most}
    if not kept:
        largest = max(map(len, cut.values()), default=0)
        there = next((own[0] for own in sets.values()), "none")
        raise DataError(
            f"None of {len(sets)} gene sets has {least} to {most} of the {len(measured)} measured genes (the largest has "
            f"{largest}). Genes are named like '{there}' there and '{min(measured, default='none')}' in the data. Give sets "
            "of these genes with --gene-sets, leave it out for the data set's own annotation, or lower --min-size."
        )
    return kept


@dataclass(frozen=True)
class Enriched:
    """Enrichment of one change."""

    table: pd.DataFrame
    """One row a set: `COLUMNS`. `nes` is the normalised enrichment score (positive: the set's genes rise), `fdr` its false
    discovery rate. No row where the change is constant over genes: it ranks nothing."""
    running: pd.DataFrame
    """Running sums as corners of a polygon: `RUNNING_COLUMNS`; `rank` from 1 (the gene that rises most), `hit` where the
    gene there is of the set."""


def enrich(
    change: np.ndarray, genes: Sequence[str], sets: GeneSets, *, permutations: int = 1000, seed: int = 0
) -> Enriched:
    """Rank genes by their change and test every set for lying at one end.

    `change` [gene] is that of mean expression, log2, of `genes`; `sets` are from `usable_sets`. Scores are normalised by those
    of `permutations` random sets of each size. Random are these sets and the order of equal changes.

    Raises
    ------
    BenchmarkError
        gseapy is not installed.

    Source
    ------
    Subramanian et al., PNAS 102(43), 15545–15550, 2005, doi:10.1073/pnas.0506580102; gseapy, doi:10.1093/bioinformatics/btac757.
    """
    if np.ptp(change) <= FLAT:
        return Enriched(pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(RUNNING_COLUMNS)))
    with needing("enrichment"):  # seconds to import, and an extra
        import gseapy
    noise = np.random.default_rng(seed).uniform(-1, 1, len(change))
    ranked = pd.Series(change + TIE * np.abs(change).max() * noise, index=list(genes)).sort_values(ascending=False)
    found = gseapy.prerank(
        rnk=ranked,
        gene_sets={name: list(own) for name, own in sets.items()},
        permutation_num=permutations,
        min_size=1,
        max_size=len(genes),
        weight=1.0,
        threads=1,
        seed=seed,
        no_plot=True,
        outdir=None,
    ).results
    rows, sums = [], []
    for name, own in sorted(found.items()):
        rows.append((name, len(sets[name]), own["es"], own["nes"], own["pval"], own["fdr"]))
        # what the line of a running sum needs: both ends, each hit, and the gene before it
        values, hits = np.asarray(own["RES"]), np.asarray(own["hits"])
        places = np.unique(np.concatenate([[0, len(values) - 1], hits, hits[hits > 0] - 1]))
        corners = {"rank": places + 1, "running": values[places], "hit": np.isin(places, hits)}
        sums.append(pd.DataFrame({"gene_set": name, **corners}))
    return Enriched(pd.DataFrame(rows, columns=list(COLUMNS)), pd.concat(sums, ignore_index=True))


def agree(true: pd.DataFrame, predicted: pd.DataFrame, top: int = 10) -> dict[str, float]:
    """Compare the enrichment of a prediction with the truth's.

    Both are an `Enriched.table`; an empty one of a constant change enriches nothing and scores 0, as in every metric of the
    change. The `top` sets of largest |NES| are compared, at most half of all.

    Returns
    -------
    dict
        `spearman_nes` over all `n_sets`; `top_overlap`, share of the truth's `top_k` sets that are among the prediction's
        with the same sign, and `top_chance`, what a random order with random signs has of that on average;
        `n_significant_true` and `n_significant_predicted`; `sign_share`, share of the truth's significant sets whose
        predicted score has the right sign; `found_share`, share of them that are significant in the prediction too, with
        the right sign. Shares of no set are NaN.
    """
    both = true.set_index("gene_set").join(predicted.set_index("gene_set"), rsuffix="_hat").sort_index()
    both = both.astype(float).replace([np.inf, -np.inf], np.nan)
    known = both["nes"].notna()
    both["nes_hat"] = both["nes_hat"].fillna(0.0)
    top = min(top, max(1, int(known.sum()) // 2))
    same = np.sign(both["nes"]) == np.sign(both["nes_hat"])
    significant, significant_hat = (both["fdr"] < SIGNIFICANT) & known, both["fdr_hat"] < SIGNIFICANT
    shared = _largest(both["nes"], top) & _largest(both["nes_hat"], top) & same
    return {
        "n_sets": int(known.sum()),
        "spearman_nes": _spearman(both.loc[known, "nes"], both.loc[known, "nes_hat"]),
        "top_k": top,
        "top_overlap": float(shared.sum() / top),
        "top_chance": top / max(1, int(known.sum())) / 2,
        "n_significant_true": int(significant.sum()),
        "sign_share": float(same[significant].mean()),
        "n_significant_predicted": int(significant_hat.sum()),
        "found_share": float((same & significant_hat)[significant].mean()),
    }


def _largest(nes: pd.Series, top: int) -> pd.Series:
    """Mark the sets of largest |NES|; a set without a score is not among them."""
    return (nes.abs().rank(method="first", ascending=False) <= top) & (nes.abs() > 0)


def _spearman(x: pd.Series, y: pd.Series) -> float:
    """Rank correlation; 0 where a side is constant or has fewer than two sets."""
    from scipy.stats import spearmanr  # slow to import

    if x.nunique() < 2 or y.nunique() < 2:
        return 0.0
    return float(spearmanr(x, y).statistic)
