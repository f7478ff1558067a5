"""Plain sentences on what a table shows, computed from it."""

from __future__ import annotations

import pandas as pd

from reports.formatting import decimals, interval, number, shorten
from reports.stats.suite_results import COPY, Results, paired_gain
from reports.task_labels import BRACKETS, why_uninformative

_JUDGED = ("pearson_delta", "r2_pearson", "mse", "mae")
_WAYS = {"n2p": "control to perturbed (n2p)", "p2n": "perturbed to control (p2n)"}


def what_it_shows(results: Results, direction: str, metric: str) -> str:
    """Name the best model of a metric and what the trivial answers and the ceiling score beside it."""
    rows = results.rows(direction, [metric]).set_index("model")
    models = rows[(rows["kind"] == "model") & rows["mean"].notna()]
    learnt = models[~models.index.isin(BRACKETS)]
    if learnt.empty:
        return f"In {metric}, {_WAYS[direction]}, no model has a value."
    places = decimals(models["mean"])
    best = learnt.iloc[0]
    text = f"In {metric}, {_WAYS[direction]}, the best mean is that of {best.name}, {number(best['mean'], places)}"
    text += interval(best["low"], best["high"], places)
    beside = [
        f"{words} {number(rows.loc[name, 'mean'], places)}"
        for name, words in ((COPY, "copying the input"), ("train_mean", "the mean effect"), ("ceiling", "the ceiling"))
        if name in rows.index and pd.notna(rows.loc[name, "mean"])
    ]
    text += f"; beside it {', '.join(beside)}." if beside else "."
    blunt = why_uninformative(results.board[results.board["direction"] == direction], metric)
    return text + (f" It is uninformative here and ranks nobody: {blunt}." if blunt else "")


def who_declined(results: Results, direction: str) -> str:
    """Say which models have no value in a direction, and why; "" where all have one."""
    rows = results.rows(direction, ["pearson_delta"])
    missing = rows[(rows["kind"] == "model") & rows["mean"].isna()]
    if missing.empty:
        return ""
    parts = [
        f"{', '.join(own['model'])} ({shorten(str(reason), 120)})"
        for reason, own in missing.groupby("reason", sort=True)
    ]
    return f"Without a value: {'; '.join(parts)}."


def where_copying_wins(results: Results) -> list[str]:
    """Say for every direction which models copying the input beats, metric by metric; nothing where it beats none."""
    sentences = []
    for direction in results.directions:
        parts = []
        for panel in results.panels(direction, _JUDGED):
            sure, unsure = list[str](), list[str]()
            for model in panel.table()[2]:
                found = None if model in BRACKETS else paired_gain(panel, model, COPY)
                if found is not None and found["gain"] < 0:
                    (sure if found["high"] < 0 else unsure).append(model)
            if sure or unsure:
                parts.append(f"{panel.metric}: {_beaten(sure, unsure)}")
        if parts:
            sentences.append(f"{_WAYS[direction]}: `no_change` beats, in {'; in '.join(parts)}.")
    return sentences


def _beaten(sure: list[str], unsure: list[str]) -> str:
    return ", ".join([*sure, *(f"{model} (not beyond the bootstrap error)" for model in unsure)])


def calibration_sentence(results: Results) -> str:
    """Say how many metrics rank, and whether the ceiling is at 1 and the oracle at or above it on their scaled values."""
    parts = []
    for direction in results.directions:
        board = results.board[(results.board["direction"] == direction) & (results.board["level"] == "suite")]
        scaled = board.dropna(subset="scaled")
        ceiling, oracle = (scaled.loc[scaled["model"] == name, "scaled"] for name in ("ceiling", "oracle"))
        if ceiling.empty:
            parts.append(f"{direction}: no metric is informative, so nothing is scaled")
            continue
        words = f"{direction}: {len(ceiling)} metrics are informative; scaled, the ceiling is at {_span(ceiling)}"
        parts.append(words + (f" and the oracle at {_span(oracle)}" if len(oracle) else ""))
    return "; ".join(parts) + "."


def _span(values: pd.Series) -> str:
    low, high = number(values.min(), 2), number(values.max(), 2)
    return low if low == high else f"{low} to {high}"
