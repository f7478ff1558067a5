"""The leaderboard as a page: what won, by how much, and what the numbers do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reports.formatting import interval, markdown_table, number
from reports.pages.glossary import GLOSSARY, READING
from reports.pages.section_missing import missing_table, notes, uninformative_line
from reports.pages.section_models import models_section
from reports.pages.section_quality import calibration_table, explain_marks, mark_metrics, shared_sentence, shared_table
from reports.pages.section_tables import decimals_of, family_tables, headline_table
from reports.stats.floors import floor_sentences
from reports.stats.statistics import Statistics
from reports.tables import Tables
from reports.task_labels import HEADLINE, Task, lead_metric, ordered_models, tasks, why_uninformative


def write_markdown(
    tables: Tables,
    settled: pd.DataFrame,
    board: pd.DataFrame,
    statistics: Statistics,
    figures: Mapping[str, Sequence[str]],
) -> str:
    """Write the page.

    Parameters
    ----------
    tables
        The tables the board was made from.
    settled
        What `settle.settle` returned.
    board
        What `aggregate.leaderboard` returned.
    statistics
        What `statistics.analyse` returned.
    figures
        Task slug → links to its figures, relative to the page.

    Returns
    -------
    str
        Markdown, ending in a newline.
    """
    parts = ["# Leaderboard", READING]
    blunt = []
    for task, rows in tasks(board):
        parts += _section(task, rows, tables, statistics)
        parts += [f"![{link.rsplit('/', 1)[-1]}]({link})" for link in figures.get(task.slug, ())]
        blunt.append(uninformative_line(task, rows))
    missing = [
        text
        for text in (missing_table(settled, tables.metrics), "\n".join(f"- {line}" for line in blunt if line))
        if text
    ]
    parts += ["## What is missing, and why", *(missing or ["Nothing: every model has a value of its own everywhere."])]
    parts += models_section(tables.models)
    present = tables.metrics["metric"].isin(board["metric"])
    parts += ["## Metrics", _legend(tables.metrics[present]), "## Glossary"]
    return "\n\n".join([*parts, "\n".join(f"- **{word}**: {meaning}" for word, meaning in GLOSSARY.items())]) + "\n"


def _section(task: Task, rows: pd.DataFrame, tables: Tables, statistics: Statistics) -> list[str]:
    """Write one task: heading, verdict, headline, families, calibration."""
    lead = lead_metric(rows)
    leaders = ordered_models(rows, lead)
    quality, comparison = task.select(statistics.quality), task.select(statistics.comparison)
    present = set(rows["metric"])
    scored = [row.metric for row in tables.metrics.itertuples() if row.scored and row.metric in present]
    marks = mark_metrics(quality, scored)
    contexts = rows.loc[(rows["level"] == "context") & (rows["metric"] == lead), "context"].nunique()
    places = decimals_of(rows)
    parts = ["## " + " — ".join((task.title, *task.warnings))]
    parts.append(f"Suite {task.suite}; {contexts} contexts, {int(leaders['n_conditions'].max())} conditions.")
    if task.leak:
        parts.append(f"**The leakage audit says:** {task.leak}. These scores do not measure generalisation.")
    blunt = why_uninformative(rows, lead)
    if blunt:
        parts.append(
            f"**{lead} is uninformative here and ranks nobody:** {blunt}. Lines are in the order of their means."
        )
    parts += _verdict(rows, comparison[comparison["metric"] == lead], places[lead])
    parts += _copying(rows, quality, places)
    parts += [f"{text[0].upper()}{text[1:]}." for text in floor_sentences(rows)]
    parts += [headline_table(task, rows, tables.metrics, tables.costs, marks), *explain_marks(marks)]
    parts += _statistics(lead, task.select(statistics.friedman), task.select(statistics.sensitivity))
    lines = notes(rows)
    parts += ["\n".join(f"- {line}" for line in lines)] if lines else []
    parts += family_tables(rows, tables.metrics, marks, list(leaders["model"]))
    calibration, shared = calibration_table(quality, scored, places), shared_table(quality)
    parts += ["### Calibration", calibration] if calibration else []
    return [*parts, "### What a shared control is worth", shared] if shared else parts


def _verdict(board: pd.DataFrame, comparison: pd.DataFrame, places: int) -> list[str]:
    """Say, for each baseline, which models are better, which worse, and of which that cannot be told."""
    means = board[board["level"] == "suite"].set_index(["model", "metric"])["mean"]
    sentences = []
    for (baseline, metric), tests in comparison.groupby(["baseline", "metric"], sort=False):
        tests = tests.sort_values(["gain", "model"], ascending=[False, True])
        texts = pd.Series(
            [
                f"{row.model} {'+' * (row.gain > 0)}{number(row.gain, places)}{interval(row.low, row.high, places)}"
                for row in tests.itertuples()
            ],
            index=tests.index,
        )
        better, worse = texts[tests["low"] > 0], texts[tests["high"] < 0]
        unclear = texts.drop(better.index).drop(worse.index)
        if tests["low"].isna().all():
            sentences.append(
                f"In {metric}, against `{baseline}` ({number(means[baseline, metric], places)}): {', '.join(texts)}; one "
                "condition, so no interval and no verdict."
            )
            continue
        sentence = f"In {metric}, better than `{baseline}` ({number(means[baseline, metric], places)}): "
        sentence += ", ".join(better) if len(better) else "**no model**"
        sentence += f"; not to be told from it: {', '.join(unclear)}" if len(unclear) else ""
        sentence += f"; worse: {', '.join(worse)}" if len(worse) else ""
        sentences.append(sentence + " (difference, positive where better, and its 95 % interval by paired bootstrap).")
    return sentences


def _copying(rows: pd.DataFrame, quality: pd.DataFrame, places: Mapping[str, int]) -> list[str]:
    """Say what the input itself scores in r2_pearson and in the headline, and what sharing the control is worth."""
    copies = rows[(rows["level"] == "suite") & (rows["model"] == "no_change")].set_index("metric")["mean"].dropna()
    sentences = []
    if "r2_pearson" in copies:
        what = "the control" if rows["direction"].iloc[0] == "n2p" else "the input"
        text = f"Copying {what} (`no_change`) scores {number(copies['r2_pearson'], places['r2_pearson'])} in r2_pearson"
        if HEADLINE in copies:
            text += f", and {number(copies[HEADLINE], places[HEADLINE])} in {HEADLINE}"
        sentences.append(text + ": a high r2_pearson alone is no evidence of a predicted effect.")
    shared = shared_sentence(quality)
    return [" ".join([*sentences, *([shared] if shared else [])])] if sentences or shared else []


def _statistics(lead: str, friedman: pd.DataFrame, sensitivity: pd.DataFrame) -> list[str]:
    """Say what Friedman's test finds, and under what the order of the models changes most."""
    sentences = []
    ranks = friedman[friedman["metric"] == lead]
    if len(ranks) and np.isfinite(ranks["p"].iloc[0]):
        first = ranks.iloc[0]
        differ = "differ" if first["p"] < 0.05 else "cannot be told apart as a group"
        sentences.append(
            f"Friedman's test over {first['n_conditions']} conditions: the {first['n_models']} models {differ} in {lead} "
            f"(χ² = {first['chi2']:.1f}, p = {first['p']:.2g}); mean ranks nearer than {first['critical_difference']:.2f} "
            "are not to be told apart (Nemenyi)."
        )
    subsets = sensitivity[sensitivity["by"] != "everything"].drop_duplicates(["by", "subset"]).dropna(subset="tau")
    subsets = subsets[~((subsets["by"] == "metric") & (subsets["subset"] == lead))]
    lowest = subsets.sort_values(["by", "tau", "subset"]).drop_duplicates("by")
    if len(lowest):
        named = ", ".join(
            f"{row.by} {row.subset} ({number(row.tau, 2)})" for row in lowest.sort_values("tau").itertuples()
        )
        sentences.append(f"The order of the models agrees least with that of {lead} under (Kendall's τ): {named}.")
    return [" ".join(sentences)] if sentences else []


def _legend(metrics: pd.DataFrame) -> str:
    """Write what each metric is and which way is better."""
    lines = []
    for row in metrics.itertuples():
        judged = pd.notna(row.best)
        lines.append(
            [
                row.metric,
                row.family,
                ("higher" if row.higher_is_better else "lower") if judged else "neither",
                f"{row.best:g}" if judged else "–",
                "yes" if row.scored else "no",
                str(row.summary),
                str(row.source),
            ]
        )
    return markdown_table(["metric", "family", "better", "best", "ranked", "what it is", "source"], lines, left=7)
