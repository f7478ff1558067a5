"""Ceiling, baseline and rank recovery of the metrics of a task."""

from __future__ import annotations

from reports.formatting import markdown_table, number, percent, with_interval
from reports.pages.page_sections import Section, TaskData
from reports.stats.metric_quality import MIXTURES


def write(data: TaskData) -> str:
    """Write a line per scored metric; nothing where none of it was measured."""
    rows = data.scored_quality
    taus = [f"tau_{mixture}" for mixture in MIXTURES]
    if rows.empty or rows[["ceiling_mean", *taus]].isna().all(axis=None):
        return ""
    baseline = next((name for name in rows["baseline"] if isinstance(name, str)), "baseline")
    header = ["metric", baseline, "ceiling", "ceiling better by", "on", "full depth"]
    header += [f"τ {mixture.replace('_', ' ')}" for mixture in MIXTURES]
    lines = []
    for _, row in rows.iterrows():
        places = data.places.get(row["metric"], 3)
        lines.append(
            [
                row["metric"],
                number(row["baseline_mean"], places),
                number(row["ceiling_mean"], places),
                with_interval(row["gain"], row["gain_low"], row["gain_high"], places),
                percent(row["share"]),
                number(row["ceiling_full_depth"], 2),
                *(with_interval(row[tau], row[f"{tau}_low"], row[f"{tau}_high"], 2) for tau in taus),
            ]
        )
    return markdown_table(header, lines, left=1)


SECTION = Section("Calibration", 80, write)
