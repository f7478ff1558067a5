"""Everything the reports compute beside the leaderboard, in one place: comparison, quality, ranks, sensitivity."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.stats.paired_gains import compare
from reports.stats.quality import rate_metrics
from reports.stats.ranks import rank_models
from reports.stats.sensitivity import rank_sensitivity
from reports.tables import Tables


@dataclass(frozen=True)
class Statistics:
    """One table each; the field's name is that of its CSV file."""

    comparison: pd.DataFrame
    """Columns `compare.COLUMNS`."""
    quality: pd.DataFrame
    """Columns `quality.COLUMNS`."""
    friedman: pd.DataFrame
    """Columns `ranks.FRIEDMAN_COLUMNS`."""
    wins: pd.DataFrame
    """Columns `ranks.WIN_COLUMNS`."""
    sensitivity: pd.DataFrame
    """Columns `sensitivity.COLUMNS`."""


def analyse(tables: Tables, settled: pd.DataFrame, board: pd.DataFrame, *, n_boot: int, seed: int) -> Statistics:
    """Compute all of it.

    Parameters
    ----------
    tables
        The tables of a results folder.
    settled, board
        What `settle.settle` and `aggregate.rank_settled` made of them.
    n_boot, seed
        Draws and seed of the bootstrap.
    """
    metrics = tables.metrics
    friedman, wins = rank_models(settled, metrics)
    return Statistics(
        comparison=compare(settled, metrics, n_boot=n_boot, seed=seed),
        quality=rate_metrics(settled, metrics, board, tables.planted, n_boot=n_boot, seed=seed),
        friedman=friedman,
        wins=wins,
        sensitivity=rank_sensitivity(tables.scores, settled, board, metrics),
    )
