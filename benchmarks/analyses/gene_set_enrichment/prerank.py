"""Gene-set enrichment of one change of expression: gseapy's pre-ranked GSEA, offline and seeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.analyses.gene_set_enrichment.gene_sets import GeneSets
from benchmarks.errors import BenchmarkError
from benchmarks.scoring.metrics.profile import FLAT

COLUMNS = ("gene_set", "size", "es", "nes", "p", "fdr")
RUNNING_COLUMNS = ("gene_set", "rank", "running", "hit")
TIE = 1e-7
"""Share of the largest change of the random noise that orders equal changes."""
INSTALL = "pip install 'cycseq-bench[enrichment]'"


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

    Parameters
    ----------
    change
        Change of mean expression [gene], log2.
    genes
        Names [gene].
    sets
        From `usable_sets`, of these genes.
    permutations
        Random gene sets of each size that scores are normalised by.
    seed
        Seed of the permutations and of the order of equal changes.

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
    try:
        import gseapy  # seconds to import, and an extra
    except ImportError as error:
        raise BenchmarkError(f"Enrichment needs the package gseapy, which is not installed: {INSTALL}.") from error
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
    rows = [
        (name, len(sets[name]), found[name]["es"], found[name]["nes"], found[name]["pval"], found[name]["fdr"])
        for name in sorted(found)
    ]
    running = [_corners(found[name]["RES"], found[name]["hits"]).assign(gene_set=name) for name in sorted(found)]
    return Enriched(
        pd.DataFrame(rows, columns=list(COLUMNS)), pd.concat(running, ignore_index=True)[list(RUNNING_COLUMNS)]
    )


def _corners(running: Sequence[float], hits: Sequence[int]) -> pd.DataFrame:
    """Keep of a running sum what its line needs: both ends, each hit, and the gene before it."""
    values, at = np.asarray(running), np.asarray(hits)
    places = np.unique(np.concatenate([[0, len(values) - 1], at, at[at > 0] - 1]))
    return pd.DataFrame({"rank": places + 1, "running": values[places], "hit": np.isin(places, at)})
