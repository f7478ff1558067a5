"""One task of the leaderboard: what its models share, and how it is named in tables and figures."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from reports.formatting import file_name, visible
from reports.tables import GROUP, UNINFORMATIVE

HEADLINE = "pearson_delta"
"""The metric that orders the models."""
BRACKETS = ("no_change", "train_mean", "train_control")
"""Ranked models that learn nothing about a perturbation's own effect."""
ARROWS = {"n2p": "control → perturbed (n2p)", "p2n": "perturbed → control (p2n)"}


@dataclass(frozen=True)
class Task:
    """A (suite, dataset, source, protocol, direction) and the verdict of its leakage audit."""

    suite: str
    dataset: str
    source: str
    protocol: str
    direction: str
    leak: str = ""
    """What the audit found, "" where the split is clean."""
    incomplete: bool = False
    """Whether some model has not run yet, or not all of what was asked of it."""

    @property
    def title(self) -> str:
        """Dataset, protocol and direction on one line."""
        return f"{self.dataset}, protocol {self.protocol}, {ARROWS.get(self.direction, self.direction)}"

    def select(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of this task, told by those columns of `GROUP` that the table has."""
        keys = [column for column in GROUP if column in table]
        return table[(table[keys] == [getattr(self, column) for column in keys]).all(axis=1)]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must stand beside every number of this task."""
        simulated = ("SIMULATED data",) if self.source == "simulated" else ()
        incomplete = ("INCOMPLETE run",) if self.incomplete else ()
        return (*incomplete, *simulated, *(("LEAKY protocol",) if self.leak else ()))

    @property
    def slug(self) -> str:
        """The task's part of a file name: letters, digits, "_", "." and "-" only."""
        return file_name(visible("-".join((self.suite, self.dataset, self.protocol, self.direction))))


def tasks(table: pd.DataFrame) -> Iterator[tuple[Task, pd.DataFrame]]:
    """Split a leaderboard or a table of scores into its tasks, in alphabetical order."""
    for (suite, dataset, source, protocol, direction), rows in table.groupby(list(GROUP), sort=True, observed=True):
        leaks = sorted({audit for audit in rows["audit"] if audit.startswith("leaky")})
        incomplete = "n_not_run" in rows and bool((rows["n_not_run"] > 0).any())
        yield Task(suite, dataset, source, protocol, direction, "; ".join(leaks), incomplete), rows


def lead_metric(board: pd.DataFrame) -> str:
    """Name the metric that orders a task's models: the headline, or the first ranked metric where it was not run."""
    if board["metric"].eq(HEADLINE).any():
        return HEADLINE
    ranked = board.loc[board["rank"].notna(), "metric"]
    return str((ranked if len(ranked) else board["metric"]).iloc[0])


def ordered_models(board: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a task's suite-level rows of one metric, in the board's order: models best first, then references."""
    return board[(board["level"] == "suite") & (board["metric"] == metric)].reset_index(drop=True)


def asked_models(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models, without those that do not take the task at all (unsupported, and no value)."""
    declined = rows["mean"].isna() & rows["status"].eq("unsupported")
    return rows[(rows["kind"] == "model") & ~declined].reset_index(drop=True)


def marked(model: str, kind: str, bracket: str = "") -> str:
    """Write a name: references in italics, and `bracket` behind models that learn nothing of a perturbation's effect."""
    if kind == "reference":
        return f"*{model}*"
    return f"{model}{bracket}" if model in BRACKETS else str(model)


def describe_trouble(row: pd.Series) -> str:
    """Say why a row of the leaderboard has no value, or not only its model's own; "" where there is nothing to say.

    That a metric is uninformative is said of the metric, not of every model.
    """
    reason = str(row["reason"]).split(f"{UNINFORMATIVE}: ")[0].rstrip("; ")
    if not reason:
        return ""
    words = {"n_failed": "failed", "n_unsupported": "declined"}
    counts = [f"{row[n]} of {row['n_conditions']} conditions {word}" for n, word in words.items() if row[n]]
    if row["status"] in ("ok", UNINFORMATIVE):
        return f"{' and '.join(counts)}, first {reason}"
    return f"{row['status']}: {reason}"


def count_failures(row: pd.Series) -> str:
    """Write " (2/24 failed)" where a model has a value although it failed on some conditions; else ""."""
    some = row["n_failed"] and pd.notna(row["mean"])
    return f" ({row['n_failed']:.0f}/{row['n_conditions']:.0f} failed)" if some else ""


def why_uninformative(board: pd.DataFrame, metric: str) -> str:
    """Say why a metric does not rank a task's models; "" where it does."""
    rows = board[(board["level"] == "suite") & (board["metric"] == metric)]
    reasons = [reason for reason in rows["reason"] if f"{UNINFORMATIVE}: " in reason]
    return reasons[0].split(f"{UNINFORMATIVE}: ", 1)[1] if reasons else ""


def headline(board: pd.DataFrame) -> str:
    """Name the metric that orders a task's models for a title, and say so where it is uninformative."""
    lead = lead_metric(board)
    return f"{lead} (uninformative here)" if why_uninformative(board, lead) else lead


def fit_costs(costs: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return by model the `fit_seconds`, mean over folds and seeds, and whether it is of a `shared_training`."""
    rows = task.select(costs).dropna(subset="fit_seconds")
    return rows.groupby("model", observed=True).agg({"fit_seconds": "mean", "shared_training": "any"})
