"""What a task is, and in words: its models beside the baselines, and what copying the input scores."""

import numpy as np
import pandas as pd

from reports.formatting import interval, number
from reports.pages.page_sections import Section, TaskData
from reports.task_labels import HEADLINE, ordered_models, why_uninformative

_INFLATED = 0.1
"""Difference of two scores from which a shared control is said to raise them."""
_TRIVIAL = (
    ("no_change", "r2_pearson", "copying the input"),
    ("own_gene", HEADLINE, "changing the perturbed gene alone"),
)


def write(data: TaskData) -> str:
    """Write heading and size, models better and worse than the baselines, and those below a trivial prediction."""
    below = [f"{text[0].upper()}{text[1:]}." for text in sentences_below_trivial(data.board)]
    copies = " ".join(filter(None, (_copy(data), _shared(data))))
    return "\n\n".join(filter(None, [_heading(data), _baselines(data), copies, *below]))


def _heading(data: TaskData) -> str:
    task, board = data.task, data.board
    in_contexts = (board["level"] == "context") & (board["metric"] == data.lead)
    contexts, conditions = board.loc[in_contexts, "context"].nunique(), int(data.leaders["n_conditions"].max())
    parts = ["## " + " — ".join((task.title, *task.warnings))]
    parts.append(f"Suite {task.suite}; {contexts} contexts, {conditions} conditions.")
    if task.leak:
        parts.append(f"**Result of the leakage audit:** {task.leak}. These scores do not measure generalisation.")
    reason = why_uninformative(board, data.lead)
    if reason:
        parts.append(
            f"**{data.lead} is uninformative here, so there are no ranks:** {reason}. Lines are sorted by mean."
        )
    return "\n\n".join(parts)


def _baselines(data: TaskData) -> str:
    """List, for each baseline, the models that are better, worse, and not different from it."""
    means = data.suite.set_index(["model", "metric"])["mean"]
    comparison = data.task.select(data.run.comparison)
    comparison = comparison[comparison["metric"] == data.lead]
    places = data.places[data.lead]
    sentences = []
    for baseline, tests in comparison.groupby("baseline", sort=False):
        better, worse, unclear = list[str](), list[str](), list[str]()
        for row in tests.sort_values(["gain", "model"], ascending=[False, True]).itertuples():
            group = better if row.low > 0 else worse if row.high < 0 else unclear
            sign = "+" if row.gain > 0 else ""
            group.append(f"{row.model} {sign}{number(row.gain, places)}{interval(row.low, row.high, places)}")
        name = f"`{baseline}` ({number(means[baseline, data.lead], places)})"
        if tests["low"].isna().all():
            difference = f"{data.lead}, difference to {name}: {', '.join(unclear)}"
            sentences.append(f"{difference}; no interval, since there is one condition.")
            continue
        sentence = f"Models better than {name} in {data.lead}: {', '.join(better) or '**none**'}"
        sentence += f"; not significantly different: {', '.join(unclear)}" if unclear else ""
        sentence += f"; worse: {', '.join(worse)}" if worse else ""
        sentences.append(sentence + " (difference, positive where better, and its 95 % interval by paired bootstrap).")
    return "\n\n".join(sentences)


def sentences_below_trivial(board: pd.DataFrame) -> list[str]:
    """List, for each trivial prediction that was run, the models with a lower mean in a task's rows of the leaderboard."""
    found = []
    for trivial, metric, what in _TRIVIAL:
        rows = ordered_models(board, metric).set_index("model")
        means = rows.loc[(rows["kind"] == "model") & rows["mean"].notna(), "mean"]
        below = sorted(means.index[means < means.get(trivial, np.nan)].drop("no_change", errors="ignore"))
        if below:
            found.append(f"{what} ({metric} {number(means[trivial], 3)}) scores higher than {', '.join(below)}")
    return found


def _copy(data: TaskData) -> str:
    copies = data.suite[data.suite["model"] == "no_change"].set_index("metric")["mean"].dropna()
    if "r2_pearson" not in copies:
        return ""
    scores = [f"{number(copies[m], data.places[m])} in {m}" for m in ("r2_pearson", HEADLINE) if m in copies]
    what = "the control" if data.task.direction == "n2p" else "the input"
    text = f"Copying {what} (`no_change`) scores {', and '.join(scores)}"
    return f"{text}: a high r2_pearson alone is no evidence of a predicted effect."


def _shared(data: TaskData) -> str:
    """Compare other control cells, the baseline and the split half with and without a shared control."""
    rows = data.quality[(data.quality["metric"] == HEADLINE) & data.quality["shared"].notna()]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    facts = (
        ("other control cells, without any perturbation, score", "other_controls", "other_controls"),
        (f"`{row['baseline']}` scores", "baseline_mean", "baseline"),
        ("the split half", "split_half_mean", "split_half"),
    )
    text = "; ".join(
        f"{what} {number(row[f'{shared}_shared'], 2)} in {row['shared']} and {number(row[disjoint], 2)} with disjoint controls"
        for what, disjoint, shared in facts
        if row[[disjoint, f"{shared}_shared"]].notna().all()
    )
    if not text:
        return ""
    inflation = row["other_controls_shared"] - row["other_controls"]
    if inflation > _INFLATED:
        text += f": a shared control raises the score of a prediction without any effect by {number(inflation, 2)}"
    elif not np.isnan(inflation):
        text += ": a shared control changes little here"
    return text[0].upper() + text[1:] + "."


SECTION = Section("", 10, write)
