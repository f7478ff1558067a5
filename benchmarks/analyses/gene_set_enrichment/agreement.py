"""Agreement of two enrichments: the same gene sets, in the same direction."""

from __future__ import annotations

import numpy as np
import pandas as pd

SIGNIFICANT = 0.05
"""False discovery rate below which a set counts as enriched."""
TOP = 10
AGREEMENT_COLUMNS = (
    "n_sets",
    "spearman_nes",
    "top_k",
    "top_overlap",
    "top_chance",
    "n_significant_true",
    "sign_share",
    "n_significant_predicted",
    "found_share",
)


def agree(true: pd.DataFrame, predicted: pd.DataFrame, top: int = TOP) -> dict[str, float]:
    """Compare the enrichment of a prediction with the truth's.

    Parameters
    ----------
    true, predicted
        `Enriched.table`; an empty one of a constant change enriches nothing and scores 0, as in every metric of the change.
    top
        Sets of largest |NES| that are compared; at most half of all sets.

    Returns
    -------
    dict
        `AGREEMENT_COLUMNS`: `spearman_nes` over all sets; `top_overlap`, share of the truth's top sets that are among the
        prediction's with the same sign, and `top_chance`, what a random order with random signs has of that on average;
        `sign_share`, share of the truth's significant sets whose predicted score has the right sign; `found_share`, share
        of them that are significant in the prediction too, with the right sign. Shares of no set are NaN.
    """
    both = true.set_index("gene_set").join(predicted.set_index("gene_set"), rsuffix="_hat").sort_index()
    nes, nes_hat = both["nes"].to_numpy(dtype=float), both["nes_hat"].to_numpy(dtype=float)
    nes_hat = np.where(np.isfinite(nes_hat), nes_hat, 0.0)
    known = np.isfinite(nes)
    top = min(top, max(1, int(known.sum()) // 2))
    same = np.sign(nes) == np.sign(nes_hat)
    significant = (both["fdr"].to_numpy(dtype=float) < SIGNIFICANT) & known
    significant_hat = both["fdr_hat"].to_numpy(dtype=float) < SIGNIFICANT
    shared = _largest(nes, top) & _largest(nes_hat, top) & same
    return {
        "n_sets": int(known.sum()),
        "spearman_nes": _spearman(nes[known], nes_hat[known]),
        "top_k": top,
        "top_overlap": float(shared.sum() / top),
        "top_chance": top / max(1, int(known.sum())) / 2,
        "n_significant_true": int(significant.sum()),
        "sign_share": _share(same, significant),
        "n_significant_predicted": int(significant_hat.sum()),
        "found_share": _share(same & significant_hat, significant),
    }


def _largest(nes: np.ndarray, top: int) -> np.ndarray:
    """Mark the sets of largest |NES|; a set without a score is not among them."""
    sizes = np.where(np.isfinite(nes), np.abs(nes), 0.0)
    marked = np.zeros(len(nes), dtype=bool)
    marked[np.argsort(-sizes, kind="stable")[:top]] = True
    return marked & (sizes > 0)


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation; 0 where a side is constant or has fewer than two sets."""
    from scipy.stats import spearmanr  # slow to import

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(spearmanr(x, y).statistic)


def _share(which: np.ndarray, among: np.ndarray) -> float:
    return float(which[among].mean()) if among.any() else float("nan")
