"""Effect of batch correction on scores: the same models on original cells, corrected by batch, and by condition."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from reports.stats.aggregate import leaderboard
from reports.stats.audits.protocol_audit import METRICS
from reports.tables import GROUP, Tables

COLUMNS = (*GROUP, "method", "metric", "model", "kind", "mean", "low", "high", "effect_left", "n_conditions")


def compare_integrations(
    runs: Mapping[str, Tables], effects: Mapping[str, pd.DataFrame], *, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Join the scores of one suite under several methods of integration.

    Scores in the unit of the data (mse) are of another space under each method and are not to be compared across; the
    correlations are without unit, but their truth has changed with the cells.

    Parameters
    ----------
    runs
        Method → tables of a run.
    effects
        Method → the run's `integration/effects.csv`; none for the cells as they are.
    n_boot, seed
        Draws and seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`. `effect_left` is the median share of a detected perturbation's E-distance to its controls that
        the method leaves: 1 without integration.
    """
    parts = []
    for method, tables in runs.items():
        metrics = tables.metrics[tables.metrics["metric"].isin(METRICS)]
        board = leaderboard(tables.scores[tables.scores["metric"].isin(METRICS)], metrics, n_boot=n_boot, seed=seed)
        board = board[(board["level"] == "suite") & board["mean"].notna()]
        table = effects.get(method)
        left = 1.0 if table is None else float(table.loc[table["detected"], "share"].median())
        parts.append(board.assign(method=method, effect_left=left))
    text = dict.fromkeys((*GROUP, "metric", "model", "kind"), object)
    return pd.concat([part.astype(text) for part in parts], ignore_index=True)[list(COLUMNS)]
