"""The board of a task: a line per model and reference, a column per metric, intervals as positions in a cell."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.formatting import interval, number, seconds
from reports.model_styles import model_styles, on_dark, vega_shape
from reports.pages.page_sections import MARKS, TaskData
from reports.pages.sections.metric_families import FAMILIES
from reports.pages.sections.ranking_table import BESIDE
from reports.stats.ranks import ALPHA
from reports.task_labels import BRACKETS, describe_trouble, fit_costs

REFERENCE = ("#6b6b6b", "#a0a0a0", "square")
"""Look of every reference."""


@dataclass(frozen=True)
class Badge:
    """A word beside a model's name."""

    text: str
    look: str
    """Name of its class in the style sheet."""
    meaning: str


@dataclass(frozen=True)
class Value:
    """One metric of one model."""

    order: float | None
    """What the column is sorted by; None where there is no value."""
    text: str
    interval: str = ""
    places: tuple[float, float, float] | None = None
    """Low end, mean and high end in per cent of the column's width."""


@dataclass(frozen=True)
class Column:
    """One metric."""

    name: str
    family: str
    title: str
    """Name and the sign of which way is better."""
    meaning: str
    shown: bool
    """Whether it is shown at first."""
    higher: bool


@dataclass(frozen=True)
class Line:
    """One model or reference."""

    model: str
    reference: bool
    colours: tuple[str, str]
    """On a light and on a dark page."""
    rank: float | None
    badges: tuple[Badge, ...]
    values: tuple[Value, ...]
    scaled: Value
    fit: Value
    failed: str
    audit: str


@dataclass(frozen=True)
class Board:
    """What a task's table shows."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    without: tuple[tuple[str, str], ...]
    """Models without any value: name and reason."""


def looks_of(board: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    """Colour of each model on a light and on a dark page, and its shape for Vega; references are none of them."""
    styles = model_styles(board.loc[board["kind"] == "model", "model"])
    return {name: (own.colour, on_dark(own.colour), vega_shape(own.shape)) for name, own in styles.items()}


def make_board(data: TaskData) -> Board:
    """Lay out the rows of a task's leaderboard at suite level."""
    columns = tuple(_column(data, row) for row in data.metrics.itertuples())
    valued = set(data.suite.loc[data.suite["mean"].notna(), "model"])
    fits = fit_costs(data.run.tables.costs, data.task)
    looks = looks_of(data.run.leaderboard)
    by_metric = dict(iter(data.suite.groupby("metric", observed=True)))
    spans = {metric: _span(rows) for metric, rows in by_metric.items()}
    rows_of = {(row.metric, row.model): row for row in data.suite.itertuples()}
    lines, without = [], []
    for _, row in data.leaders.iterrows():
        model = row["model"]
        if model not in valued:
            without.append((model, describe_trouble(row) or row["status"]))
            continue
        values = tuple(_value(rows_of.get((c.name, model)), data.places.get(c.name, 3), spans[c.name]) for c in columns)
        time = float(fits["fit_seconds"].get(model, np.nan))
        declined = f", {row['n_unsupported']:.0f} declined" if row["n_unsupported"] else ""
        reference = row["kind"] == "reference"
        lines.append(
            Line(
                model,
                reference,
                looks.get(model, REFERENCE)[:2],
                row["rank"] if row["rank"] > 0 else None,
                tuple(_badges(row, data)),
                values,
                Value(_or_none(row["scaled"]), number(row["scaled"], 2)),
                Value(_or_none(time), seconds(time)),
                "–" if reference else f"{row['n_failed']:.0f}/{row['n_conditions']:.0f}{declined}",
                str(row["audit"]) or "–",
            )
        )
    return Board(columns, tuple(lines), tuple(without))


def _column(data: TaskData, row: object) -> Column:
    metric, family = str(row.metric), str(row.family)  # type: ignore[attr-defined]
    marks = data.marks.get(metric, "")
    notes = [text for mark, text in MARKS.items() if mark in marks]
    if not row.scored:  # type: ignore[attr-defined]
        notes.append("reported, not ranked")
    meaning = ". ".join([str(row.summary).rstrip("."), *notes])  # type: ignore[attr-defined]
    shown = metric == data.lead or metric in BESIDE
    return Column(
        metric,
        FAMILIES.get(family, family),
        data.metric_title(metric),
        meaning,
        shown,
        bool(row.higher_is_better),  # type: ignore[attr-defined]
    )


def _span(rows: pd.DataFrame) -> tuple[float, float]:
    """Range of the models' intervals, or of means where there are none."""
    ends = rows.loc[(rows["kind"] == "model") & rows["mean"].notna(), ["low", "mean", "high"]].to_numpy(dtype=float)
    if not len(ends):
        return 0.0, 1.0
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _value(row: Any, places: int, span: tuple[float, float]) -> Value:
    """Write a model's row of the leaderboard, a named tuple; None: it has none."""
    if row is None:
        return Value(None, "–")
    if np.isnan(row.mean):
        return Value(None, str(row.status))
    ends = np.array([row.low, row.mean, row.high], dtype=float)
    ends = np.where(np.isnan(ends), row.mean, ends)
    share = 100 * (ends - span[0]) / (span[1] - span[0])
    low, mean, high = np.clip(share, 0, 100).round(1).tolist()
    off = share[1] < -1 or share[1] > 101
    exact = np.isclose(ends[0], ends[2], atol=1e-12)
    text = "" if exact else interval(row.low, row.high, places).strip()
    return Value(float(row.mean), number(row.mean, places), text, None if off else (low, mean, high))


def _badges(row: pd.Series, data: TaskData) -> list[Badge]:
    if row["kind"] == "reference":
        return [Badge("reference", "quiet", "has seen the truth, or is no prediction at all; never ranked")]
    found = []
    if row["budget"] == "quick":
        found.append(Badge("quick", "warn", "trained for less than its authors' length"))
    if row["n_failed"]:
        what = describe_trouble(row) or f"{row['n_failed']:.0f} conditions failed"
        found.append(Badge(f"failed {row['n_failed']:.0f}/{row['n_conditions']:.0f}", "bad", what))
    if row["rank"] > 1 and row["p_best"] >= ALPHA:
        found.append(Badge("≈ best", "good", "not significantly different from the best (paired bootstrap, Holm)"))
    if row["model"] in BRACKETS:
        found.append(Badge("bracket", "quiet", "learns nothing about a perturbation's own effect"))
    if str(row["audit"]).startswith(("leak", "not proved")):
        found.append(Badge(str(row["audit"]).split(":")[0], "bad", str(row["audit"])))
    return found


def _or_none(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
