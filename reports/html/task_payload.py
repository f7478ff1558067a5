"""The numbers of a task that its charts are drawn from, as JSON with packed arrays."""

from typing import Any

import numpy as np
import pandas as pd

from reports.html.board import Board
from reports.html.packing import pack
from reports.pages.page_sections import TaskData
from reports.stats.condition_values import name_conditions
from reports.stats.metric_quality import baseline_of
from reports.tables import PREDICTED
from reports.task_labels import fit_costs

_FACTS = ("mean", "low", "high", "rank", "p_best")


def task_payload(data: TaskData, board: Board, number: int) -> dict[str, Any]:
    """Gather a task's numbers; `number` is its place in the page."""
    settled = data.task.select(data.run.settled)
    models = pd.Index([line.model for line in board.lines])
    metrics = pd.Index([column.name for column in board.columns])
    pairs = settled[["context", "condition"]].astype(str).drop_duplicates().sort_values(["context", "condition"])
    conditions = pd.MultiIndex.from_frame(pairs)
    contexts = pd.Index(pairs["context"].unique())
    costs = fit_costs(data.run.tables.costs, data.task)["fit_seconds"]
    return {
        "number": number,
        "lead": data.lead,
        "baseline": baseline_of(data.task.direction),
        "models": list(models),
        "quick": [any(badge.text == "quick" for badge in line.badges) for line in board.lines],
        "reference": [line.reference for line in board.lines],
        "notes": [", ".join(badge.text for badge in line.badges) for line in board.lines],
        "seconds": [round(float(costs[name]), 3) if name in costs else None for name in models],
        "metrics": [
            {
                "name": c.name,
                "title": c.title,
                "family": c.family,
                "meaning": c.meaning,
                "higher": c.higher,
                "places": data.places.get(c.name, 3),
            }
            for c in board.columns
        ],
        "contexts": list(contexts),
        "conditions": pairs.to_numpy().tolist(),
        "effects": _effects(data, conditions),
        "board": _board(data.suite, models, metrics),
        "in_contexts": _in_contexts(data.board, models, metrics, contexts),
        "values": _values(settled, models, metrics, conditions),
        "calibration": _calibration(data, board),
        "changes": _changes(data),
        "cells": _cells(data),
    }


def _board(suite: pd.DataFrame, models: pd.Index, metrics: pd.Index) -> dict[str, object]:
    """Pack mean, ends of the interval, rank and p of the difference to the best [metric, model, fact]."""
    array = np.full((len(metrics), len(models), len(_FACTS)), np.nan)
    rows = suite[suite["model"].isin(models)]
    where = metrics.get_indexer(rows["metric"].astype(str)), models.get_indexer(rows["model"].astype(str))
    array[where] = rows[list(_FACTS)].to_numpy(dtype=float)
    return pack(array)


def _in_contexts(board: pd.DataFrame, models: pd.Index, metrics: pd.Index, contexts: pd.Index) -> dict[str, object]:
    """Pack the means of contexts [metric, model, context]."""
    array = np.full((len(metrics), len(models), len(contexts)), np.nan)
    rows = board[(board["level"] == "context") & board["model"].isin(models)]
    where = tuple(
        index.get_indexer(rows[name].astype(str))
        for index, name in ((metrics, "metric"), (models, "model"), (contexts, "context"))
    )
    array[where] = rows["mean"].to_numpy(dtype=float)
    return pack(array)


def _values(settled: pd.DataFrame, models: pd.Index, metrics: pd.Index, conditions: pd.MultiIndex) -> dict[str, object]:
    """Pack the values of single conditions [metric, condition, model], NaN where a model has none of its own."""
    array = np.full((len(metrics), len(conditions), len(models)), np.nan, dtype=np.float32)
    rows = settled[settled["own"] & settled["model"].isin(models) & ~settled["left_out"]]
    place = conditions.get_indexer(pd.MultiIndex.from_frame(rows[["context", "condition"]].astype(str)))
    array[metrics.get_indexer(rows["metric"].astype(str)), place, models.get_indexer(rows["model"].astype(str))] = rows[
        "value"
    ]
    return pack(array)


def _effects(data: TaskData, conditions: pd.MultiIndex) -> list[float | None]:
    """Number of genes that each condition changes, mean over folds; None where conditions.csv does not say."""
    rows = data.task.select(data.run.tables.conditions)
    if rows.empty:
        return []
    rows = rows.assign(condition=name_conditions(rows).astype(str))
    means = rows.groupby(["context", "condition"])["n_significant_genes"].mean().reindex(conditions)
    return [None if pd.isna(value) else float(value) for value in means]


def _calibration(data: TaskData, board: Board) -> list[dict[str, object]]:
    """Say for every scored metric where split half and best model lie between baseline (0) and ceiling (1)."""
    means = data.suite.set_index(["metric", "model"])["mean"]
    ranked = [line.model for line in board.lines if not line.reference]
    found = []
    for row in data.scored_quality.itertuples():
        span = row.ceiling_mean - row.baseline_mean
        own = means[row.metric].reindex(ranked).dropna()
        if pd.isna(span) or span == 0 or own.empty:
            continue
        higher = bool(data.metrics.loc[data.metrics["metric"] == row.metric, "higher_is_better"].iloc[0])
        best = str(own.idxmax() if higher else own.idxmin())
        for what, value in (("split half", row.split_half_mean), ("best model", own[best])):
            if pd.notna(value):
                place = float((value - row.baseline_mean) / span)
                named = f"{best}, {value:.4g}" if what == "best model" else f"{value:.4g}"
                found.append(
                    {
                        "metric": row.metric,
                        "what": what,
                        "value": round(place, 4),
                        "text": named,
                        "verdict": "uninformative" if row.informative is False else "can rank",
                    }
                )
    return found


def _changes(data: TaskData) -> dict[str, Any] | None:
    """Pack true and predicted changes of the genes that changes.csv holds; None where it has none of this task."""
    rows = data.task.select(data.run.tables.changes)
    if rows.empty:
        return None
    rows = rows.assign(condition=name_conditions(rows).astype(str))
    columns = [name for name in rows if str(name).startswith(PREDICTED) and rows[name].notna().any()]
    genes = pd.Index(rows["gene"].astype(str).unique())
    spans = rows.groupby(["context", "condition", "fold"], sort=True, observed=True).indices
    order = np.concatenate(list(spans.values()))
    return {
        "genes": list(genes),
        "models": [str(name).removeprefix(PREDICTED) for name in columns],
        "conditions": [[str(context), str(condition), int(fold)] for context, condition, fold in spans],
        "sizes": [len(where) for where in spans.values()],
        "gene": pack(genes.get_indexer(rows["gene"].astype(str))[order], exact=True),
        "perturbed": pack(rows["perturbed"].astype(str).eq("True").to_numpy()[order]),
        "true": pack(rows["true"].to_numpy(dtype=float)[order]),
        "predicted": pack(rows[columns].to_numpy(dtype=float)[order].T),
    }


def _cells(data: TaskData) -> dict[str, Any] | None:
    """Pack the places of cells in a UMAP; None where umap.csv has none of this task."""
    rows = data.task.select(data.run.tables.cells)
    if rows.empty:
        return None
    rows = rows.assign(condition=name_conditions(rows).astype(str))
    found = []
    for (context, condition), part in rows.groupby(["context", "condition"], sort=True):
        sets = []
        for (cells, model, unit), own in part.groupby(["cells", "model", "unit"], sort=True, observed=True):
            sets.append(
                {"cells": cells, "model": model, "unit": unit, "at": pack(own[["x", "y"]].to_numpy(dtype=float))}
            )
        found.append({"condition": [context, condition], "sets": sets})
    return {"conditions": found}
