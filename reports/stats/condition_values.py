"""From one row per condition and seed to one value per condition: what counts where a model has no score of its own.

The rules, in the order they apply:

1. A condition's value is the mean over its seeds and folds.
2. A condition on which a model failed, or which it declined while it took others, takes the value `no_change` has
   there. It is counted and the first reason is named; it is never dropped.
3. A condition that has no such score for any model (`too_few_genes`, …) is left out for every model alike.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.tables import DECLINED, FAILED, GROUP, LEFT_OUT, check_metrics, check_scores

_CELL = [*GROUP, "metric", "context", "condition"]
_MODEL = [*GROUP, "model", "kind"]
_LABELS = [*_MODEL, "metric", "context", "condition"]


def condition_values(scores: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Give every model one value per condition and metric, by rules 1 to 3; tables as in `tables.Tables`.

    Returns
    -------
    DataFrame
        One row per (`GROUP`, model, kind, metric, context, condition), sorted. `value` is the model's, or no_change's
        in its place, NaN where neither is there; `own` tells which (the model's on every seed: True), `any_own` whether
        it gave a value on any seed; `failed`, `declined` and `left_out` are booleans; `status` and `reason` are the
        first that are not ok; `n_truth_cells` is the mean over seeds and folds; `budget` and `audit` are the worst of
        the model's rows in the task.

    Raises
    ------
    ReportError
        What `check_scores` and `check_metrics` refuse.
    """
    scores = check_scores(scores, check_metrics(metrics))
    scores["condition"] = name_conditions(scores)
    rows = _complete(scores)
    cell = rows.pop("cell").to_numpy()
    own, is_model = rows["status"].eq("ok").to_numpy(), rows["kind"].eq("model").to_numpy()
    lacking = {"failed": FAILED, "declined": DECLINED}
    flags = {name: rows["status"].isin(words).to_numpy() for name, words in lacking.items()}
    left_out = np.zeros(cell.max() + 1, dtype=bool)
    left_out[cell[rows["status"].isin(LEFT_OUT).to_numpy() & is_model]] = True
    value = rows["value"].to_numpy(dtype=float)
    copies = rows["model"].eq("no_change").to_numpy() & np.isfinite(value)
    counts, sums = (np.bincount(cell[copies], weights, minlength=len(left_out)) for weights in (None, value[copies]))
    copied = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    value = np.where((flags["failed"] | flags["declined"]) & is_model, copied[cell], value)
    # rows that are not ok come first within a condition, so that "first" names them
    pair = rows.groupby(_LABELS, sort=True, observed=True).ngroup().to_numpy()
    order = np.lexsort((rows["seed"], rows["fold"], own, pair))
    starts = np.flatnonzero(np.diff(pair[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    settled = rows.iloc[order[starts]][[*_LABELS, "status", "reason"]].reset_index(drop=True)
    cells = rows["n_truth_cells"].to_numpy(dtype=float)
    settled = settled.assign(
        value=np.add.reduceat(value[order], starts) / sizes,
        own=np.logical_and.reduceat(own[order], starts),
        any_own=np.logical_or.reduceat(own[order], starts),
        failed=np.logical_or.reduceat(flags["failed"][order], starts),
        declined=np.logical_or.reduceat(flags["declined"][order], starts),
        left_out=left_out[cell[order[starts]]],
        n_truth_cells=np.add.reduceat(cells[order], starts) / sizes,
    )
    return settled.merge(_worst(scores), on=_MODEL, how="left")


def name_conditions(rows: pd.DataFrame) -> pd.Series:
    """Name each row's condition within its context: the perturbation, with its dose in nM where it has one."""
    given = rows["dose"].notna()
    if not given.any():
        return rows["perturbation"]
    doses = rows["dose"].astype("category")
    words = doses.cat.rename_categories([f" {dose:g} nM" for dose in doses.cat.categories]).astype(object).fillna("")
    return (rows["perturbation"].astype(object) + words).astype("category")


def _complete(scores: pd.DataFrame) -> pd.DataFrame:
    """Add a row with status "missing" wherever a model has none for a condition that another model has.

    The column `cell` numbers the (task, metric, condition) of each row.
    """
    scores = scores.assign(cell=scores.groupby(_CELL, sort=True, observed=True).ngroup())
    rows = scores[scores["kind"] == "model"]
    expected = rows[[*_CELL, "cell"]].drop_duplicates("cell").merge(rows[_MODEL].drop_duplicates(), on=list(GROUP))
    found = expected.merge(rows[["cell", "model"]].drop_duplicates(), how="left", indicator="found")["found"]
    missing = expected[(found == "left_only").to_numpy()]
    if missing.empty:
        return scores
    missing = missing.assign(status="missing", reason="no row in scores.csv", fold=0, seed=0)
    return pd.concat([scores, missing], ignore_index=True).astype({"status": "category", "reason": "category"})


def _worst(scores: pd.DataFrame) -> pd.DataFrame:
    """Return budget and audit per model and task: "quick" where any row is, and the first audit that is not clean."""
    facts = scores[[*_MODEL, "budget", "audit"]].drop_duplicates()
    worst = []
    for name, good in (("budget", "full"), ("audit", "clean")):
        ordered = facts.assign(good=facts[name] == good).sort_values([*_MODEL, "good", name])
        worst.append(ordered.groupby(_MODEL, observed=True)[name].first())
    return pd.concat(worst, axis=1).reset_index()
