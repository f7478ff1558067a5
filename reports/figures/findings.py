"""What the figures show to be so, in one sentence each: their titles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.formatting import decimals, number, seconds
from reports.stats.ranks import ALPHA
from reports.task_labels import lead_metric, ordered_models, why_uninformative

MOST = 3
"""Names that a title lists."""
HALF = 0.5
"""Share of conditions flagged as copies above which a model is said to copy its input."""


def say_leader(board: pd.DataFrame) -> str:
    """Say which model leads in the headline, and how many cannot be told from it (paired bootstrap, Holm)."""
    lead = lead_metric(board)
    rows = ordered_models(board, lead)
    ranked = rows[rows["rank"].notna()].sort_values("rank", kind="stable")
    if why_uninformative(board, lead):
        return f"{lead} ranks no model here: the split half is not better than the baseline beyond error"
    if ranked.empty:
        return f"No model has a value of {lead}"
    first = ranked.iloc[0]
    best = f"{first['model']} leads in {lead} with {number(first['mean'], decimals(ranked['mean']))}"
    if len(ranked) == 1:
        return best
    alike = ranked.iloc[1:].loc[ranked["p_best"].iloc[1:] >= ALPHA, "model"]
    if ranked["p_best"].iloc[1:].isna().all():
        return f"{best}; from one condition there is no telling whether by chance"
    if alike.empty:
        return f"{best}, above every other model beyond error (p < {ALPHA})"
    return f"{best}; {name_some(list(alike))} cannot be told from it"


def say_hardest(values: pd.DataFrame, metric: str) -> str:
    """Say in which context the best model scores least; `values` are means [model, context] of models."""
    known = values.dropna(axis=1, how="all").dropna(how="all")
    if known.empty:
        return f"No model has a value of {metric}"
    best, places = known.max(), decimals(pd.Series(known.to_numpy().ravel()))
    if len(best) == 1:
        return f"{best.index[0]}: {known[best.index[0]].idxmax()} scores most, {number(best.iloc[0], places)}"
    low, high = str(best.idxmin()), str(best.idxmax())
    return (
        f"{low} is the hardest context: the best model scores {number(best[low], places)} there, "
        f"{number(best[high], places)} in {high}"
    )


def say_copies(flags: pd.Series) -> str:
    """Say which models copy their input; `flags` is the share of conditions flagged as copies by model."""
    known = flags.dropna()
    copies = known[known > HALF].sort_values(ascending=False)
    if known.empty:
        return "How near predictions lie to the truth, and to other cells of the input's state"
    if copies.empty:
        most = str(known.idxmax())
        return (
            f"No model is flagged as a copy of its input on most conditions; at most {100 * known.max():.0f} % ({most})"
        )
    which = name_some(list(copies.index)) if len(copies) <= MOST else f"{len(copies)} of {len(known)} models"
    return f"{which} flagged as copies of the input on more than half of the conditions"


def say_quickest(board: pd.DataFrame, models: pd.DataFrame) -> str:
    """Say how long the leader takes to fit, and which model that cannot be told from it is the quickest."""
    ranked = models[models["rank"].notna()].sort_values("rank", kind="stable")
    if ranked.empty:
        return say_leader(board)
    first = ranked.iloc[0]
    text = f"{first['model']} leads and takes {seconds(first['fit_seconds'])} to fit"
    alike = ranked[(ranked["p_best"] >= ALPHA) & (ranked["fit_seconds"] < first["fit_seconds"])]
    if alike.empty:
        return text
    other = alike.sort_values("fit_seconds").iloc[0]
    return f"{text}; {other['model']}, which cannot be told from it, takes {seconds(other['fit_seconds'])}"


def say_ranks(ranks: pd.DataFrame, metric: str) -> str:
    """Say which model has the best mean rank, and how many lie within the critical difference of it."""
    ordered = ranks.sort_values(["mean_rank", "model"])
    first, difference = ordered.iloc[0], float(ordered["critical_difference"].iloc[0])
    best = f"{first['model']} has the best mean rank in {metric}"
    near = ordered.iloc[1:].loc[ordered["mean_rank"].iloc[1:] - first["mean_rank"] < difference, "model"]
    if not np.isfinite(difference):
        return best
    return (
        f"{best}; {name_some(list(near))} within the critical difference" if len(near) else f"{best}, beyond all others"
    )


def say_order(subsets: pd.DataFrame) -> str:
    """Say under which subset the order of the models differs most from the headline's."""
    known = subsets.dropna(subset="tau")
    if known.empty:
        return "Whether the models' order would be another cannot be computed here"
    lowest = known.sort_values("tau", kind="stable").iloc[0]
    if lowest["tau"] > 1 - 1e-9:
        return "The models' order is the same under every metric and on every part of the data"
    where = f"under {lowest['line']}" if lowest["by"] == "metric" else f"on {lowest['line']}"
    return f"The models' order changes most {where} (Kendall's τ {number(lowest['tau'], 2)})"


def say_calibration(quality: pd.DataFrame) -> str:
    """Say how many metrics tell the split half from the baseline, and how many order planted predictors."""
    known = quality["informative"].dropna().astype(bool)
    ordered = quality["orders"].dropna().astype(bool)
    parts = [f"{known.sum()} of {len(known)} metrics tell the split half from the baseline"] if len(known) else []
    parts += [f"{ordered.sum()} of {len(ordered)} order planted predictors"] if len(ordered) else []
    return "; ".join(parts) or "Scores of all metrics on one scale"


def name_some(names: Sequence[str]) -> str:
    """List some names, and count the others."""
    if len(names) <= MOST:
        return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
    return f"{', '.join(names[: MOST - 1])} and {len(names) - MOST + 1} others"
