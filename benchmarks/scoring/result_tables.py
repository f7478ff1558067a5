"""Result tables that need no run: facts of the conditions, and the list of metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.scoring.comparison import Target
from benchmarks.scoring.metrics import METRICS
from benchmarks.scoring.scored_fold import ScoredFold


def condition_facts(question: ScoredFold, target: Target) -> pd.DataFrame:
    """What a reader must know of each condition: cells on every side, genes changed, the kernel's bandwidth."""
    return pd.DataFrame(
        {
            **question.labels(),
            "start_dose": np.array([c.start_dose for c in question.conditions], dtype=np.float64),
            "n_truth_cells": target.n_cells,
            "n_input_cells": [len(c.input(question.direction)) for c in question.conditions],
            "n_reference_cells": [len(c.reference(question.direction)) for c in question.conditions],
            "n_significant_genes": target.significant.sum(axis=1),
            "mmd_bandwidth": target.bandwidths,
        }
    )


def metric_table() -> pd.DataFrame:
    """List all metrics, as metrics.csv."""
    return pd.DataFrame(
        [
            {
                "metric": m.name,
                "family": m.family,
                "best": m.best,
                "higher_is_better": m.higher_is_better,
                "scored": m.scored,
                "undefined": m.undefined,
                "summary": m.summary,
                "source": m.source,
            }
            for m in METRICS
        ]
    )
