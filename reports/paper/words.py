"""Plain sentences on what a table shows, computed from it."""

from __future__ import annotations

import pandas as pd

from reports.paper.results import COPY, Results, paired_gain
from reports.task import BRACKETS, why_uninformative
from reports.text import decimals, interval, number

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
    text = f"In {metric}, {_WAYS[direction]}, the best model is {best.name}, {number(best['mean'], places)}"
    text += interval(best["low"], best["high"], places)
    beside = [
        f"{words} {number(rows.loc[name, 'mean'], places)}"
        for name, words in ((COPY, "copying the input"), ("train_mean", "the mean effect"), ("ceiling", "the ceiling"))
        if name in rows.index and pd.notna(rows.loc[name, "mean"])
    ]
    text += f"; beside it {', '.join(beside)}." if beside else "."
    blunt = why_uninformative(results.board[results.board["direction"] == direction], metric)
    return text + (f" {metric} is uninformative here and ranks nobody: {blunt}." if blunt else "")


def where_copying_wins(results: Results) -> list[str]:
    """Say, for every direction and metric, which models copying the input beats; one sentence each, none where it beats none."""
    sentences = []
    for direction in results.directions:
        for panel in results.panels(direction, _JUDGED):
            sure, unsure = [], []
            for model in panel.table()[2]:
                found = None if model in BRACKETS else paired_gain(panel, model, COPY)
                if found is None or not found["gain"] < 0:
                    continue
                (sure if found["high"] < 0 else unsure).append(model)
            if sure or unsure:
                sentences.append(_copying(direction, panel.metric, sure, unsure))
    return sentences


def _copying(direction: str, metric: str, sure: list[str], unsure: list[str]) -> str:
    parts = []
    if sure:
        parts.append(f"beats {', '.join(sure)}")
    if unsure:
        parts.append(f"is ahead of {', '.join(unsure)}, but not beyond the bootstrap error")
    return f"{_WAYS[direction]}, {metric}: `no_change` {' and '.join(parts)}."


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
