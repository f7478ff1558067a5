"""Results of a run in the form that the paper's tables and figures need."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from reports.stats.aggregate import leaderboard
from reports.stats.condition_values import ScoreMatrix, condition_values, name_conditions, score_matrices
from reports.stats.paired_comparison import holm, paired_gain, signed_rank
from reports.tables import Tables
from reports.task_labels import Task, tasks

COPY = "no_change"
N_BOOT = 2000
METRICS = ("pearson_delta", "r2_pearson", "mae", "mse")
"""Metrics of Figures 2 and 4."""
SIMILARITIES = ("sim_tp", "sim_ip", "sim_it", "copy_margin", "copies_input")
"""Metrics of Figure 3."""
GENES = ("MED30", "TTK")
LINE = "K562"
_PAIR = re.compile(r"^(?P<base>.+)_pretrained_(?P<direction>n2p|p2n)$")


@dataclass(frozen=True)
class Results:
    """One finished run."""

    folder: Path
    tables: Tables

    @cached_property
    def settled(self) -> pd.DataFrame:
        """One value per model, metric and condition (`condition_values`), with the condition's perturbation and dose."""
        scores = self.tables.scores
        named = scores[["context", "perturbation", "dose"]].assign(condition=name_conditions(scores)).astype(object)
        keys = named.drop_duplicates(["context", "condition"])
        return _plain(condition_values(scores, self.tables.metrics)).merge(keys, on=["context", "condition"])

    @cached_property
    def board(self) -> pd.DataFrame:
        """The leaderboard (`aggregate.COLUMNS`)."""
        return _plain(leaderboard(self.tables.scores, self.tables.metrics, n_boot=N_BOOT))

    @property
    def simulated(self) -> bool:
        """Whether any of it is simulated."""
        return bool((self.tables.scores["source"] == "simulated").any())

    @property
    def directions(self) -> list[str]:
        """Directions of the run, n2p first."""
        return sorted(set(self.tables.scores["direction"]))

    def task(self, direction: str) -> Task:
        """The task of a direction, with what its audit found."""
        return next(task for task, _ in tasks(self.board[self.board["direction"] == direction]))

    def rows(self, direction: str, metrics: Sequence[str], level: str = "suite") -> pd.DataFrame:
        """Rows of the leaderboard at one level, in its order."""
        chosen = (self.board["direction"] == direction) & (self.board["level"] == level)
        return self.board[chosen & self.board["metric"].isin(metrics)].reset_index(drop=True)

    def matrices(self, direction: str, metrics: Sequence[str]) -> list[ScoreMatrix]:
        """Values [condition, model] of some metrics."""
        settled = self.settled[self.settled["direction"] == direction]
        return list(score_matrices(settled, self.tables.metrics, only=metrics))


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Turn categories into text, so that a group that is not there makes no row."""
    return table.astype(dict.fromkeys(table.select_dtypes("category"), object))


def mean_by(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean of settled values by some labels; NaN where a model has no value of its own anywhere in a group."""
    grouped = rows.groupby(list(keys), sort=False, observed=True, dropna=False)
    table = grouped.agg(mean=("value", "mean"), own=("any_own", "any"), n_conditions=("value", "size")).reset_index()
    return table.assign(mean=table["mean"].where(table["own"], np.nan)).drop(columns="own")


def triangular(results: Results) -> pd.DataFrame:
    """Figure 3's numbers: direction, context, perturbation, model, kind, the three similarities, margin and flag.

    Of the conditions MED30 and TTK in K562 are taken where they were tested, else all.
    """
    rows = results.settled[results.settled["metric"].isin(SIMILARITIES)]
    rows = rows[rows["any_own"] | (rows["kind"] == "reference")]
    gene = [str(name).split("_")[-1] in GENES for name in rows["perturbation"]]
    chosen = rows[np.array(gene, dtype=bool) & rows["context"].astype(str).str.endswith(LINE)]
    keys = ["direction", "context", "perturbation", "kind", "model"]
    rows = (chosen if len(chosen) else rows).astype(dict.fromkeys((*keys, "metric"), object))
    return rows.pivot_table(index=keys, columns="metric", values="value", sort=True).reset_index()


def stages(results: Results) -> pd.DataFrame:
    """Figure 4's numbers: what fine-tuning adds to the pre-trained model, per metric, over all lines and in each.

    The columns are model, direction, metric, context ("" for all lines), pretrained, finetuned, gain (positive where the
    fine-tuned is better), low, high, p_wilcoxon, p_holm (over all metrics of a model and level) and n_conditions. No row
    where no model was run both ways.
    """
    rows = []
    present = sorted(set(results.tables.scores["model"]))
    for pretrained in present:
        match = _PAIR.match(pretrained)
        tuned = f"{match['base']}_{match['direction']}" if match else ""
        if match and tuned in present:
            for matrix in results.matrices(match["direction"], METRICS):
                labels = {"model": match["base"], "direction": match["direction"], "metric": matrix.metric}
                for context, part in [("", matrix), *matrix.by_context()]:
                    found = _stage(part, pretrained, tuned)
                    rows += [labels | {"context": context} | found] if found else []
    table = pd.DataFrame(rows)
    if len(table):
        keys = [table["model"], table["direction"], table["context"] == ""]
        table["p_holm"] = table.groupby(keys)["p_wilcoxon"].transform(lambda p: holm(p.to_numpy()))
    return table


def _stage(matrix: ScoreMatrix, pretrained: str, tuned: str) -> dict[str, float] | None:
    gain = paired_gain(matrix, tuned, pretrained, n_boot=N_BOOT)
    if gain is None:
        return None
    values, contexts, names = matrix.table()
    both = values[:, [names.index(pretrained), names.index(tuned)]]
    means = pd.DataFrame(both).groupby(contexts).mean().mean()
    p = float(signed_rank((matrix.sign * (both[:, 1] - both[:, 0]))[:, None])[0])
    return {"pretrained": float(means[0]), "finetuned": float(means[1])} | gain | {"p_wilcoxon": p}
