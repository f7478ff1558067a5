"""Result tables beside the scores: facts of the conditions, and the list of metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.scoring.metrics.all_metrics import METRICS
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.truth_summary import TruthSummary

_COLUMNS = ("family", "best", "higher_is_better", "scored", "undefined", "summary", "source")


def condition_facts(fold: ScoredFold, truth: TruthSummary) -> pd.DataFrame:
    """List the conditions, as conditions.csv: cells on every side, genes changed, the kernel's bandwidth."""
    return pd.DataFrame(
        {
            **fold.labels(),
            "start_dose": np.array([c.start_dose for c in fold.conditions], dtype=np.float64),
            "n_truth_cells": truth.n_cells,
            "n_input_cells": [len(c.input(fold.direction)) for c in fold.conditions],
            "n_reference_cells": [len(c.reference(fold.direction)) for c in fold.conditions],
            "n_significant_genes": truth.significant.sum(axis=1),
            "mmd_bandwidth": truth.bandwidths,
        }
    )


def metric_table() -> pd.DataFrame:
    """List all metrics, as metrics.csv."""
    return pd.DataFrame([{"metric": m.name} | {column: getattr(m, column) for column in _COLUMNS} for m in METRICS])
