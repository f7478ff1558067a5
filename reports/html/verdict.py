"""What a task's leaderboard says in two sentences: which model leads, by how much, and whether that is certain."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.formatting import number, with_interval
from reports.pages.page_sections import TaskData
from reports.stats.condition_values import ScoreMatrix, score_matrices
from reports.stats.metric_quality import baseline_of
from reports.stats.paired_comparison import paired_gain
from reports.stats.ranks import ALPHA
from reports.task_labels import why_uninformative

NAMES = {"train_mean": "the mean effect", "train_control": "the training controls of the context"}
_NAMED = 8
"""Up to so many models are named; more are counted."""


@dataclass(frozen=True)
class Verdict:
    """The two sentences of a task, and facts that a reader needs beside them."""

    leader: str
    """The model of rank 1; "" where the metric ranks none."""
    certain: bool
    """Whether every other model is worse by more than the bootstrap error."""
    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    """Title and text."""


def judge(data: TaskData, *, n_boot: int, seed: int) -> Verdict:
    """Judge a task by its leading metric; `n_boot` and `seed` are those of the bootstrap."""
    matrix = next(score_matrices(data.task.select(data.run.settled), data.run.tables.metrics, only=(data.lead,)))
    models = data.leaders[data.leaders["kind"] == "model"]
    ranked = models[models["rank"].notna()].sort_values(["rank", "model"])
    facts = tuple(_facts(data, matrix, models))
    if ranked.empty:
        return Verdict("", False, _nothing_leads(data, models), facts)
    best = ranked.iloc[0]
    level = ranked.loc[(ranked["rank"] == 1) & (ranked["model"] != best["model"]), "model"].tolist()
    alike = ranked.loc[(ranked["p_best"] >= ALPHA) & ~ranked["model"].isin([best["model"], *level]), "model"].tolist()
    first = _over_baseline(data, matrix, best, level, n_boot, seed)
    second = _over_next(data, matrix, ranked, level, alike, n_boot, seed)
    certain = len(ranked) > 1 and not level and not alike and bool(ranked["p_best"].notna().all())
    return Verdict(best["model"], certain, (first, second), facts)


def _nothing_leads(data: TaskData, models: pd.DataFrame) -> tuple[str, str]:
    valued = models[models["mean"].notna()]
    blunt = why_uninformative(data.board, data.lead)
    if valued.empty:
        return f"No model leads: none has a value of {data.lead}.", "The reasons are under “What is missing, and why”."
    if not blunt:
        return f"No model leads: {data.lead} is reported, not ranked.", "Choose another metric in the board below."
    top = valued.iloc[0]
    return (
        f"No model leads: on these data {data.lead} cannot tell a good prediction from {_baseline(data)}, since {blunt}.",
        f"The first line of the board is {top['model']} with {_value(data, top)}, but the order of the lines is no evidence.",
    )


def _over_baseline(
    data: TaskData, matrix: ScoreMatrix, best: pd.Series, level: list[str], n_boot: int, seed: int
) -> str:
    baseline = baseline_of(data.task.direction)
    who = " and ".join([best["model"], *level])
    lead = f"{who} {'lead' if level else 'leads'} on {data.lead} with {_value(data, best)}"
    if best["model"] == baseline:
        return f"{lead}: no model is better than {_baseline(data)}."
    gain = paired_gain(matrix, best["model"], baseline, n_boot=n_boot, seed=seed)
    if gain is None:
        return f"{lead}; {baseline}, the usual baseline, has no value here."
    text = f"{lead}, {_gain(data, gain)} better than {_baseline(data)}"
    return text + ("." if gain["low"] > 0 else ", which is not certain: " + _uncertain(gain) + ".")


def _over_next(
    data: TaskData,
    matrix: ScoreMatrix,
    ranked: pd.DataFrame,
    level: list[str],
    alike: list[str],
    n_boot: int,
    seed: int,
) -> str:
    others = ranked[~ranked["model"].isin([ranked.iloc[0]["model"], *level])]
    if others.empty:
        return "No other model has a rank." if not level else "No model is below them."
    best, second = ranked.iloc[0]["model"], others.iloc[0]["model"]
    gain = paired_gain(matrix, best, second, n_boot=n_boot, seed=seed)
    ahead = f"The next model, {second}, is {_gain(data, gain) if gain else '–'} behind"
    if gain is None or np.isnan(gain["low"]):
        return f"{ahead}; one condition gives no interval, so the lead is not certain."
    if not alike:
        return f"{ahead}, and the lead is certain: every other model is worse beyond the bootstrap error (Holm, p < {ALPHA:g})."
    several = f"{len(alike)} models are" if len(alike) > 1 else f"{second} is" if alike == [second] else "one model is"
    named = f" ({_names(alike)})" if alike != [second] else ""
    return f"{ahead}, and the lead is not certain: {several} not significantly different from {best}{named}."


def _facts(data: TaskData, matrix: ScoreMatrix, models: pd.DataFrame) -> Iterator[tuple[str, str]]:
    lead = data.metrics[data.metrics["metric"] == data.lead].iloc[0]
    best = "" if pd.isna(lead["best"]) else f" Best: {lead['best']:g}."
    yield "What is measured", f"{data.lead}: {str(lead['summary']).rstrip('.')}.{best}"
    valued = models[models["mean"].notna()]
    quick = valued.loc[valued["budget"] == "quick", "model"].tolist()
    if quick:
        yield "Trained short", f"{_names(quick)} (quick): at the authors' length they may do better."
    elif len(valued) and valued["budget"].eq("full").all():
        yield "Trained short", "none: every model was trained as long as its authors do."
    failed = models[models["n_failed"] > 0]
    if len(failed):
        counts = [f"{row.model} ({row.n_failed} of {row.n_conditions} conditions)" for row in failed.itertuples()]
        yield "Failed", f"{_names(counts)}; each counts with the score of no_change."
    yield from _hardest(data, matrix)
    scored = data.scored_quality
    blunt = scored.loc[scored["informative"].eq(False), "metric"].tolist()
    if blunt:
        yield "Metrics that cannot rank here", f"{len(blunt)} of {len(scored)}: {_names(blunt)}."


def _hardest(data: TaskData, matrix: ScoreMatrix) -> Iterator[tuple[str, str]]:
    """Name the conditions whose median over ranked models is worst and best."""
    kept = matrix.kept[:, matrix.ranked]
    rows = kept.all(axis=1)
    if rows.sum() < 2 or not kept.shape[1]:
        return
    medians = np.median(matrix.sign * matrix.value[rows][:, matrix.ranked], axis=1)
    names = [f"{c}/{p}" for c, p in zip(matrix.contexts[rows], matrix.conditions[rows], strict=True)]
    for title, place in (("Hardest condition", int(medians.argmin())), ("Easiest condition", int(medians.argmax()))):
        value = number(matrix.sign * medians[place], data.places[data.lead])
        yield title, f"{names[place]} (median {data.lead} over models {value})."


def _baseline(data: TaskData) -> str:
    name = baseline_of(data.task.direction)
    return f"{NAMES[name]} ({name})"


def _value(data: TaskData, row: pd.Series) -> str:
    return with_interval(row["mean"], row["low"], row["high"], data.places[data.lead])


def _gain(data: TaskData, gain: dict[str, float]) -> str:
    return with_interval(gain["gain"], gain["low"], gain["high"], data.places[data.lead])


def _uncertain(gain: dict[str, float]) -> str:
    return "one condition gives no interval" if np.isnan(gain["low"]) else "the interval reaches 0"


def _names(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
