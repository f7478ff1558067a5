"""The study's page: an overview over all tasks, and a table per task."""

from pathlib import Path

import pandas as pd

from reports.figures.study_figures import draw_study
from reports.formatting import (
    change_texts,
    decimals,
    markdown_table,
    picture,
    plain_table,
    save_page,
    save_table,
    shorten,
    visible,
    with_interval,
)
from reports.stats.metric_quality import SPLIT_HALF
from reports.stats.study_summary import BASELINE, KINDS, METRICS, kind_of, short_name
from reports.task_labels import ARROWS, BRACKETS, tasks

_NOTE = """\
Means over contexts of means over conditions of means over seeds; in brackets the 95 % interval of a bootstrap that draws
contexts, conditions within them, and seeds. "gain" is the paired difference to `train_mean` in pearson_delta, positive
where the model is better. The split half is one half of a condition's cells given as the prediction of the other half. A dash
marks a model that declined or failed (the task's own table has the reason), an empty cell one that was not run."""


def write_study(table: pd.DataFrame, out: Path) -> list[Path]:
    """Write study.csv, study.md and one figure for each protocol and direction to the folder `out`.

    `table` is what `study_summary.summarise_seeds` returned, of all tasks.
    """
    out.mkdir(parents=True, exist_ok=True)
    csv, figures = save_table(table, out / "study.csv"), draw_study(change_texts(table, visible), out)
    table = plain_table(table)
    blocks = ["# Study", _NOTE, *(picture(path, out) for path in figures), *_overview(table)]
    for task, rows in tasks(table.assign(audit="")):
        blocks += [f"## {task.suite}: {task.title}", *task.warnings, f"{int(rows['n_conditions'].max())} conditions."]
        blocks.append(_task_table(rows, task.direction))
    return [csv, save_page(blocks, out / "study.md"), *figures]


def _overview(table: pd.DataFrame) -> list[str]:
    """Write titles and tables in turn, a line per model and a column per task.

    For each direction these are the metrics without a unit, which different data may show side by side, and the gain
    over the mean effect in the first of them.
    """
    blocks: list[str] = []
    for direction, part in table.groupby("direction", sort=True):
        for metric in METRICS[:2]:
            rows = part[part["metric"] == metric]
            if rows["mean"].notna().any():
                way = ARROWS.get(str(direction), str(direction)).removesuffix(f" ({direction})")
                blocks += [f"`{metric}`, {way}:", _side_by_side(rows, str(direction))]
            if metric == METRICS[0] and rows["gain"].notna().any():
                blocks += [f"The same, as paired difference to `{BASELINE}`:"]
                blocks.append(_side_by_side(rows[rows["model"] != BASELINE], str(direction), "gain"))
    return blocks


def _side_by_side(rows: pd.DataFrame, direction: str, value: str = "mean") -> str:
    """Write one table of means, or of gains: variants, ablations, others, then trivial baselines, and the split half."""
    questions = [
        (f"{task.suite}{' (simulated)' if task.source == 'simulated' else ''}, {task.protocol.replace('_', ' ')}", own)
        for task, own in tasks(rows.assign(audit=""))
    ]

    def place(model: str) -> tuple[bool, bool, int, str]:
        return model == SPLIT_HALF, model in BRACKETS, KINDS.index(kind_of(short_name(model, direction))), model

    lines = []
    for model in sorted(rows["model"].unique(), key=place):
        name = short_name(model, direction)
        line = {"model": f"*{name}*" if model == SPLIT_HALF else f"`{name}`"}
        line |= {title: _cell(own[own["model"] == model], value) for title, own in questions}
        if set(line.values()) - {line["model"], "", "–"}:
            lines.append(line)
    return markdown_table(lines, left=1)


def _cell(own: pd.DataFrame, value: str, places: int = 3) -> str:
    """Write a mean or a gain; "" for a model that was not run or has no gain, a dash for one without a mean."""
    if own.empty:
        return ""
    row = own.iloc[0]
    if pd.isna(row["mean"]):
        return "–"
    ends = ("low", "high") if value == "mean" else (f"{value}_low", f"{value}_high")
    return "" if pd.isna(row[value]) else with_interval(row[value], row[ends[0]], row[ends[1]], places)


def _task_table(rows: pd.DataFrame, direction: str) -> str:
    """Write a line per model: best pearson_delta first, those without a value next, the split half last."""
    places = {metric: decimals(rows.loc[rows["metric"] == metric, "mean"]) for metric in METRICS}
    leads = rows[rows["metric"] == METRICS[0]]
    leads = leads.assign(last=leads["model"] == SPLIT_HALF, lost=leads["mean"].isna(), falling=-leads["mean"])
    lines = []
    for _, lead in leads.sort_values(["last", "lost", "falling", "model"]).iterrows():
        own = rows[rows["model"] == lead["model"]]
        first, *rest = [_cell(own[own["metric"] == metric], "mean", places[metric]) for metric in METRICS]
        valued, gains = pd.notna(lead["mean"]), own[(own["metric"] == METRICS[0]) & (own["model"] != BASELINE)]
        gain, seeds = _cell(gains, "gain", places[METRICS[0]]), lead["n_seeds"]
        cells = (gain, *rest, "" if pd.isna(seeds) else f"{seeds:.0f}") if valued else ("",) * 4
        lines.append(
            {
                "model": short_name(lead["model"], direction),
                METRICS[0]: first if valued else shorten(f"{lead['status']}: {lead['reason']}", 90),
            }
            | dict(zip(("gain", *METRICS[1:], "seeds"), cells, strict=True))
        )
    return markdown_table(lines, left=1)
