"""The results of one suite's run as the paper's tables and figures need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from reports.stats.aggregate import rank_settled
from reports.stats.bootstrap import context_sizes, draw_means, interval_of
from reports.stats.panel import Panel, panels
from reports.stats.settle import name_conditions, settle
from reports.tables import GROUP, Tables, load
from reports.task_labels import Task

COPY = "no_change"
N_BOOT = 2000


@dataclass(frozen=True)
class Results:
    """One finished run."""

    folder: Path
    tables: Tables

    @classmethod
    def of(cls, folder: Path) -> Results:
        """Read a run's folder; raises `ReportError`."""
        return cls(folder, load(folder))

    @cached_property
    def settled(self) -> pd.DataFrame:
        """One value per model, metric and condition (`settle.settle`), with the condition's perturbation and dose."""
        scores = self.tables.scores
        named = scores[["context", "perturbation", "dose"]].assign(condition=name_conditions(scores)).astype(object)
        keys = named.drop_duplicates(["context", "condition"])
        return _plain(settle(scores, self.tables.metrics)).merge(keys, on=["context", "condition"])

    @cached_property
    def board(self) -> pd.DataFrame:
        """The leaderboard (`aggregate.COLUMNS`)."""
        settled = settle(self.tables.scores, self.tables.metrics)
        return _plain(rank_settled(settled, self.tables.metrics, n_boot=N_BOOT))

    @property
    def simulated(self) -> bool:
        """Whether any of it is simulated."""
        return bool((self.tables.scores["source"] == "simulated").any())

    @property
    def directions(self) -> list[str]:
        """Directions asked, n2p first."""
        return sorted(set(self.tables.scores["direction"]))

    def task(self, direction: str) -> Task:
        """The task of a direction, with what its audit found."""
        rows = self.board[self.board["direction"] == direction]
        leaks = sorted({audit for audit in rows["audit"] if str(audit).startswith("leaky")})
        first = rows.iloc[0]
        return replace(Task(*(str(first[column]) for column in GROUP)), leak="; ".join(leaks))

    def rows(self, direction: str, metrics: Sequence[str], level: str = "suite") -> pd.DataFrame:
        """Rows of the leaderboard at one level, in its order."""
        board = self.board
        keep = (board["direction"] == direction) & (board["level"] == level) & board["metric"].isin(metrics)
        return board[keep].reset_index(drop=True)

    def panels(self, direction: str, metrics: Sequence[str]) -> list[Panel]:
        """Values [condition, model] of some metrics."""
        table = self.tables.metrics[self.tables.metrics["metric"].isin(metrics)]
        settled = self.settled[self.settled["metric"].isin(metrics) & (self.settled["direction"] == direction)]
        return list(panels(settled, table))


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Turn categories into text, so that a group that is not there makes no row."""
    return table.astype(dict.fromkeys(table.select_dtypes("category"), object))


def paired_gain(panel: Panel, model: str, other: str) -> dict[str, float] | None:
    """How much better a model is than another over the same conditions.

    Returns
    -------
    dict or None
        `gain`, `low`, `high` (paired hierarchical bootstrap, positive where better), `n_conditions`; None where one of the
        two has no ranked value.
    """
    values, contexts, names = panel.table()
    if model not in names or other not in names or not len(values):
        return None
    gain = panel.sign * (values[:, names.index(model)] - values[:, names.index(other)])
    means, draws = draw_means(gain[:, None], context_sizes(contexts), n_boot=N_BOOT, seed=0)
    low, high = interval_of(draws)
    return {"gain": float(means[0]), "low": float(low[0]), "high": float(high[0]), "n_conditions": len(gain)}


def mean_by(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean of settled values by some labels; NaN where a model has no value of its own anywhere in a group."""
    grouped = rows.groupby(list(keys), sort=False, observed=True, dropna=False)
    table = grouped.agg(mean=("value", "mean"), own=("any_own", "any"), n_conditions=("value", "size")).reset_index()
    return table.assign(mean=table["mean"].where(table["own"], np.nan)).drop(columns="own")
