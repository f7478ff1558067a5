"""All result tables of a run that are computed from its scores."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import pandas as pd

from reports.formatting import change_texts
from reports.stats.aggregate import rank_settled
from reports.stats.condition_values import condition_values, score_matrices
from reports.stats.metric_quality import rate_metrics
from reports.stats.paired_comparison import compare
from reports.stats.ranks import rank_models, rank_sensitivity
from reports.tables import Tables


@dataclass(frozen=True)
class RunStatistics:
    """The tables of a run and what is computed from them."""

    tables: Tables
    settled: pd.DataFrame
    """One value per condition, model and metric (`condition_values`)."""
    leaderboard: pd.DataFrame
    comparison: pd.DataFrame
    quality: pd.DataFrame
    friedman: pd.DataFrame
    wins: pd.DataFrame
    sensitivity: pd.DataFrame

    @property
    def results(self) -> dict[str, pd.DataFrame]:
        """Name of each CSV file → its table."""
        return {name: table for name, table in vars(self).items() if name not in ("tables", "settled")}

    def with_texts(self, change: Callable[[str], str]) -> Self:
        """Change the texts of all tables by a function, such as one that escapes them for a page."""
        tables = {name: change_texts(table, change) for name, table in vars(self.tables).items() if name != "notes"}
        results = {name: change_texts(table, change) for name, table in self.results.items()}
        return replace(
            self, tables=replace(self.tables, **tables), settled=change_texts(self.settled, change), **results
        )


def analyse(tables: Tables, *, n_boot: int, seed: int) -> RunStatistics:
    """Compute all statistics of a run; `n_boot` and `seed` are those of the bootstrap."""
    settled = condition_values(tables.scores, tables.metrics)
    matrices = list(score_matrices(settled, tables.metrics))
    board = rank_settled(settled, matrices, tables.metrics, n_boot=n_boot, seed=seed)
    comparison = compare(matrices, n_boot=n_boot, seed=seed)
    quality = rate_metrics(matrices, board, tables.planted, n_boot=n_boot, seed=seed)
    friedman, wins = rank_models(matrices)
    sensitivity = rank_sensitivity(matrices, board, tables)
    return RunStatistics(tables, settled, board, comparison, quality, friedman, wins, sensitivity)
