"""The schema of `scores.csv`: its columns, what they hold and what they may hold; `docs/scores-table.md` is made of it.

`make schema` makes the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

STATUSES: Mapping[str, str] = {
    "ok": "the value is the model's",
    "failed": "an exception, a process that died, a prediction that is not usable, or a leak that was found",
    "timeout": "`fit` or `predict` took longer than `--timeout`",
    "unsupported": "the model declined, or what the metric needs was not given",
    "needs_cells": "the metric compares single cells, and the model predicts a mean profile",
    "too_few_genes": "too few genes of the truth change for this metric; no model has the value",
    "too_few_conditions": "too few conditions in the context for retrieval; no model has the value",
    "not_run": "asked, and not run yet: the run was stopped before",
}
"""Status of a row → when it has it."""


@dataclass(frozen=True)
class Column:
    """One column of a table of results."""

    name: str
    dtype: Literal["text", "integer", "number"]
    """"number" is a float64, written with ten significant digits, empty where it is missing."""
    meaning: str
    task: bool = False
    """Whether it names the task: models are compared within one, never across."""
    key: bool = False
    """Whether it names the row, with those of the task: no two rows are alike in all of these."""
    allowed: tuple[str, ...] = ()
    """Texts that may stand in it; empty: any."""


SCORES = (
    Column("suite", "text", "name of the suite", task=True, key=True),
    Column("dataset", "text", "name of the data set", task=True, key=True),
    Column("source", "text", "whether the cells are real", task=True, key=True, allowed=("simulated", "real")),
    Column("protocol", "text", "how conditions are held out", task=True, key=True),
    Column(
        "direction",
        "text",
        "what is predicted: perturbed cells from controls (`n2p`), or controls from perturbed cells (`p2n`)",
        task=True,
        key=True,
    ),
    Column("fold", "integer", "number of the split, from 0", key=True),
    Column("seed", "integer", "number of the repetition with another seed, from 0; 0 for references", key=True),
    Column("model", "text", "name of the model or reference", key=True),
    Column(
        "kind",
        "text",
        "references have seen the truth, or are no prediction; they are never ranked",
        allowed=("model", "reference"),
    ),
    Column("context", "text", "cell line, cell type or patient; never empty", key=True),
    Column("perturbation", "text", "gene or compound, combinations joined by `+`; never empty", key=True),
    Column("dose", "number", "target dose in nM; empty where there is none", key=True),
    Column("metric", "text", "name of a metric, a row of `metrics.csv`", key=True),
    Column("value", "number", "the score in the metric's unit; empty unless the status is `ok`, and finite then"),
    Column("status", "text", "how the condition ended", allowed=tuple(STATUSES)),
    Column("reason", "text", "why the status is not `ok`; empty where it is"),
    Column(
        "budget",
        "text",
        "`full`, or `quick` where the model was trained for less than its authors' length; `unknown` for scored files",
    ),
    Column(
        "audit",
        "text",
        "result of the leakage audit: `clean`, `proved`, `not proved: …`, `leak: …`, `leaky: …` by the protocol's design, "
        "`not audited` for scored files, empty for references",
    ),
    Column("n_truth_cells", "integer", "true cells of the condition; empty where imported tables do not say"),
)
"""Columns of `scores.csv`, in order: one row per condition, metric, model, fold and seed."""


def schema_page() -> str:
    """Write the documentation page of the table."""
    lines = [
        "# The table `scores.csv`",
        "",
        "<!-- made by `make schema`; change reports/score_columns.py -->",
        "",
        "One row per condition (context × perturbation × dose), metric, model, fold and seed. UTF-8, commas, a header; quoted as "
        "Python's `csv` does. All other tables and the page of a run follow from it, from `metrics.csv` and from `costs.csv`.",
        "",
        "| column | type | key | meaning | allowed |",
        "| :-- | :-- | :-- | :-- | :-- |",
    ]
    for column in SCORES:
        key = "task" if column.task else "row" if column.key else ""
        allowed = ", ".join(f"`{text}`" for text in column.allowed)
        lines.append(f"| `{column.name}` | {column.dtype} | {key} | {column.meaning} | {allowed} |")
    lines += [
        "",
        "Columns with key `task` name the task within which models are compared; with those of key `row` they name a row, and no "
        "row is given twice. A model is of one kind throughout.",
        "",
        "| status | when |",
        "| :-- | :-- |",
        *(f"| `{status}` | {when} |" for status, when in STATUSES.items()),
        "",
        "A condition that some models of a task have rows for and another has not counts as a failure of that one. How values become "
        "a leaderboard is in [decisions/metrics.md](decisions/metrics.md).",
    ]
    return "\n".join(lines) + "\n"
