"""Sentences that summarise the results of a run, computed from its tables."""

from __future__ import annotations

import pandas as pd

from reports.figures.dose_embedding_figure import REAL
from reports.formatting import decimals, number, shorten, with_interval
from reports.stats.paired_comparison import paired_gain
from reports.stats.paper_scores import COPY, N_BOOT, Results
from reports.task_labels import BRACKETS, why_uninformative

_JUDGED = ("pearson_delta", "r2_pearson", "mse", "mae")
_WAYS = {"n2p": "control to perturbed (n2p)", "p2n": "perturbed to control (p2n)"}


def summary_of_metric(results: Results, direction: str, metric: str) -> str:
    """Name the best model of a metric, and the scores of trivial predictions and of the ceiling."""
    rows = results.rows(direction, [metric]).set_index("model")
    models = rows[(rows["kind"] == "model") & rows["mean"].notna()]
    learnt = models[~models.index.isin(BRACKETS)]
    if learnt.empty:
        return f"In {metric}, {_WAYS[direction]}, no model has a value."
    places = decimals(models["mean"])
    best = learnt.iloc[0]
    text = f"In {metric}, {_WAYS[direction]}, the best mean is that of {best.name}, "
    text += with_interval(best["mean"], best["low"], best["high"], places)
    beside = [
        f"{what} {number(rows.loc[name, 'mean'], places)}"
        for name, what in ((COPY, "copying the input"), ("train_mean", "the mean effect"), ("ceiling", "the ceiling"))
        if name in rows.index and pd.notna(rows.loc[name, "mean"])
    ]
    text += f"; beside it {', '.join(beside)}." if beside else "."
    blunt = why_uninformative(results.board[results.board["direction"] == direction], metric)
    return text + (f" It is uninformative here, so there are no ranks: {blunt}." if blunt else "")


def declined_models(results: Results, direction: str) -> str:
    """Name the models without a value in a direction, and why; "" where all have one."""
    rows = results.rows(direction, ["pearson_delta"])
    missing = rows[(rows["kind"] == "model") & rows["mean"].isna()]
    if missing.empty:
        return ""
    parts = [
        f"{', '.join(own['model'])} ({shorten(str(reason), 120)})"
        for reason, own in missing.groupby("reason", sort=True)
    ]
    return f"Without a value: {'; '.join(parts)}."


def losses_to_copying(results: Results) -> list[str]:
    """List for every direction the models that are worse than a copy of the input, by metric; none where there are none."""
    sentences = []
    for direction in results.directions:
        parts = []
        for matrix in results.matrices(direction, _JUDGED):
            sure, unsure = list[str](), list[str]()
            for model in matrix.table()[2]:
                found = None if model in BRACKETS else paired_gain(matrix, model, COPY, n_boot=N_BOOT)
                if found is not None and found["gain"] < 0:
                    (sure if found["high"] < 0 else unsure).append(model)
            if sure or unsure:
                parts.append(f"{matrix.metric}: {_beaten(sure, unsure)}")
        if parts:
            sentences.append(f"{_WAYS[direction]}: worse than `no_change` in {'; in '.join(parts)}.")
    return sentences


def _beaten(sure: list[str], unsure: list[str]) -> str:
    return ", ".join([*sure, *(f"{model} (not beyond the bootstrap error)" for model in unsure)])


def calibration_sentence(results: Results) -> str:
    """Count the informative metrics, and write the scaled values of the ceiling and the oracle."""
    parts = []
    for direction in results.directions:
        board = results.board[(results.board["direction"] == direction) & (results.board["level"] == "suite")]
        scaled = board.dropna(subset="scaled")
        ceiling, oracle = (scaled.loc[scaled["model"] == name, "scaled"] for name in ("ceiling", "oracle"))
        if ceiling.empty:
            parts.append(f"{direction}: no metric is informative, so nothing is scaled")
            continue
        text = f"{direction}: {len(ceiling)} metrics are informative; scaled, the ceiling is at {_span(ceiling)}"
        parts.append(text + (f" and the oracle at {_span(oracle)}" if len(oracle) else ""))
    return "; ".join(parts) + "."


def _span(values: pd.Series) -> str:
    low, high = number(values.min(), 2), number(values.max(), 2)
    return low if low == high else f"{low} to {high}"


def summary_of_triangle(table: pd.DataFrame) -> str:
    """Name the models nearer the target than the input, and those flagged as copies, in one direction of Figure 3."""
    own = table[(table["kind"] == "model") & ~table["model"].isin(BRACKETS)]
    if own.empty:
        return "No model has a value."
    means = own.groupby("model")[["sim_tp", "sim_ip", "copy_margin"]].mean()
    flagged = own.groupby("model")["copies_input"].mean() if "copies_input" in own else pd.Series(dtype=float)
    nearer = ", ".join(sorted(means.index[means["copy_margin"] > 0])) or "no model"
    best = means.loc[means["copy_margin"].idxmax()]
    text = f"Nearer the target than the input on average: {nearer}; the widest margin has {best.name}, "
    text += f"{number(best['copy_margin'], 3)} (sim(target, output) {number(best['sim_tp'], 2)})."
    copies = ", ".join(sorted(flagged.index[flagged > 0]))
    return text + (f" Flagged as copies on some gene: {copies}." if copies else " None is flagged as a copy.")


def summary_of_doses(table: pd.DataFrame) -> str:
    """Say how many neighbours of the best model's cells are of the predicted dose."""
    means = table.groupby("model")[["share", "chance"]].mean()
    best = means.drop(index=REAL, errors="ignore").sort_values("share", ascending=False).iloc[0]
    text = f"Of the nearest measured neighbours of the cells {best.name} predicts, {100 * best['share']:.0f} % are of the predicted "
    text += f"dose; chance gives {100 * best['chance']:.0f} %"
    if REAL not in means.index:
        return text + "."
    return text + f", measured cells of that dose {100 * means.loc[REAL, 'share']:.0f} %."
