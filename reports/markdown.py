"""The leaderboard as a page: what won, by how much, and what the numbers do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from reports.tables import LEFT_OUT, Tables
from reports.task import BRACKETS, HEADLINE, Task, describe_trouble, fit_costs, lead_metric, ordered_models, tasks
from reports.text import decimals, interval, markdown_table, number, seconds, shorten, with_interval

_READING = """\
A score is computed per condition (context × perturbation × dose), averaged over the conditions of a context, then over
contexts; brackets hold the 95 % interval of a hierarchical bootstrap (contexts, then conditions). Models are ranked
within one table, never across. A condition on which a model failed, or which it declined while it took others, counts
with the score of `no_change` there. Lines marked *bracket* are ranked models that learn nothing about a perturbation's
own effect; lines in italics are references, which have seen the truth and are never ranked."""


def write_markdown(
    tables: Tables, board: pd.DataFrame, comparison: pd.DataFrame, figures: Mapping[str, Sequence[str]]
) -> str:
    """Write the page.

    Parameters
    ----------
    tables
        The tables the board was made from.
    board
        What `aggregate.leaderboard` returned.
    comparison
        What `compare.compare` returned.
    figures
        Task slug → links to its figures, relative to the page.

    Returns
    -------
    str
        Markdown, ending in a newline.
    """
    parts = ["# Leaderboard", _READING]
    for task, rows in tasks(board):
        parts += _section(task, rows, tables, comparison)
        parts += [f"![{link.rsplit('/', 1)[-1]}]({link})" for link in figures.get(task.slug, ())]
    present = tables.metrics["metric"].isin(board["metric"])
    return "\n\n".join([*parts, "## Metrics", _legend(tables.metrics[present])]) + "\n"


def _section(task: Task, rows: pd.DataFrame, tables: Tables, comparison: pd.DataFrame) -> list[str]:
    """Write one task: heading, verdict, tables, notes."""
    lead = lead_metric(rows)
    leaders = ordered_models(rows, lead)
    facts = tables.metrics.set_index("metric")
    scored = [metric for metric in rows["metric"].unique() if facts.loc[metric, "scored"]]
    reported = [metric for metric in rows["metric"].unique() if not facts.loc[metric, "scored"]]
    places = {
        metric: decimals(rows[(rows["metric"] == metric) & (rows["kind"] == "model")]["mean"])
        for metric in rows["metric"].unique()
    }
    conditions = int(leaders["n_conditions"].max())
    contexts = rows.loc[(rows["level"] == "context") & (rows["metric"] == lead), "context"].nunique()
    heading = "## " + " — ".join((task.title, *task.warnings))
    mine = task.select(comparison)
    parts = [heading, f"Suite {task.suite}; {contexts} contexts, {conditions} conditions."]
    if task.leak:
        parts.append(f"**The leakage audit says:** {task.leak}. These scores do not measure generalisation.")
    parts += [*_verdict(rows, mine[mine["metric"] == lead], places[lead]), *_copying(rows, places)]
    parts += [_ranking(leaders, rows, [lead, *[m for m in scored if m != lead]], places, tables)]
    if reported:
        parts += ["Reported, not ranked:", _reported(leaders, rows, reported, places)]
    notes = _notes(rows)
    return [*parts, "\n".join(f"- {note}" for note in notes)] if notes else parts


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


def _copying(rows: pd.DataFrame, places: Mapping[str, int]) -> list[str]:
    """Say what the input itself scores in r2_pearson, and beside it in the headline."""
    copies = rows[(rows["level"] == "suite") & (rows["model"] == "no_change")].set_index("metric")["mean"].dropna()
    if "r2_pearson" not in copies:
        return []
    what = "the control" if rows["direction"].iloc[0] == "n2p" else "the input"
    text = f"Copying {what} (`no_change`) scores {number(copies['r2_pearson'], places['r2_pearson'])} in r2_pearson"
    if HEADLINE in copies:
        text += f", and {number(copies[HEADLINE], places[HEADLINE])} in {HEADLINE}"
    return [text + ": a high r2_pearson alone is no evidence of a predicted effect."]


def _cells(board: pd.DataFrame, metrics: Sequence[str], places: Mapping[str, int]) -> dict[tuple[str, str], str]:
    """Return the text of each (model, metric) at suite level: the mean, or the status where there is none."""
    suite = board[(board["level"] == "suite") & board["metric"].isin(metrics)]
    return {
        (row.model, row.metric): row.status if pd.isna(row.mean) else number(row.mean, places[row.metric])
        for row in suite.itertuples()
    }


def _name(row: pd.Series) -> str:
    if row["kind"] == "reference":
        return f"*{row['model']}*"
    return f"{row['model']} (*bracket*)" if row["model"] in BRACKETS else str(row["model"])


def _ranking(
    leaders: pd.DataFrame, board: pd.DataFrame, metrics: Sequence[str], places: Mapping[str, int], tables: Tables
) -> str:
    """Write the table of ranked metrics, the headline with its interval."""
    lead, *others = metrics
    arrow = tables.metrics.set_index("metric")["higher_is_better"].map({True: "↑", False: "↓"})
    task, _ = next(tasks(board))
    costs = fit_costs(tables.costs, task)
    cells = _cells(board, others, places)
    header = [
        "rank",
        "model",
        f"{lead} {arrow[lead]}",
        *(f"{m} {arrow[m]}" for m in others),
        "failed",
        "declined",
        "budget",
        "audit",
        "fit",
    ]
    lines = []
    for _, row in leaders.iterrows():
        is_model = row["kind"] == "model"
        fit = seconds(costs["fit_seconds"].get(row["model"], float("nan")))
        shared = " †" if bool(costs["shared_training"].get(row["model"], False)) else ""
        lines.append(
            [
                f"{row['rank']:.0f}" if row["rank"] > 0 else "–",
                _name(row),
                with_interval(row, places[lead]),
                *(cells.get((row["model"], metric), "–") for metric in others),
                f"{row['n_failed']}/{row['n_conditions']}" if is_model else "–",
                f"{row['n_unsupported']}/{row['n_conditions']}" if is_model else "–",
                row["budget"] if is_model else "–",
                row["audit"].split(":")[0],
                fit + shared,
            ]
        )
    footnote = "\n\n† one training serves several rows." if any("†" in line[-1] for line in lines) else ""
    return markdown_table(header, lines) + footnote


def _reported(leaders: pd.DataFrame, board: pd.DataFrame, metrics: Sequence[str], places: Mapping[str, int]) -> str:
    """Write the table of metrics that do not rank."""
    cells = _cells(board, metrics, places)
    lines = [
        [_name(row), *(cells.get((row["model"], metric), "–") for metric in metrics)] for _, row in leaders.iterrows()
    ]
    return markdown_table(["model", *metrics], lines, left=1)


def _notes(board: pd.DataFrame) -> list[str]:
    """Say why a model has no value, or not only its own, once per reason; and what was left out for everybody."""
    suite = board[(board["level"] == "suite") & (board["kind"] == "model")]
    suite = suite.assign(trouble=[shorten(describe_trouble(row), 300) for _, row in suite.iterrows()])
    troubled = suite[suite["trouble"] != ""].groupby(["model", "trouble"], sort=True)["metric"].agg(tuple).reset_index()
    notes = []
    for (trouble, metrics), rows in troubled.groupby(["trouble", "metric"], sort=True):
        models = ", ".join(f"`{model}`" for model in rows["model"])
        where = "" if len(metrics) == suite["metric"].nunique() else f" ({', '.join(metrics)})"
        notes.append(f"{models}{where}: {trouble}")
    for (metric, count), _ in suite[suite["n_left_out"] > 0].groupby(["metric", "n_left_out"], sort=True):
        notes.append(
            f"{metric}: {count} conditions have no such score ({', '.join(LEFT_OUT)}) and are left out for every model."
        )
    return notes


def _legend(metrics: pd.DataFrame) -> str:
    """Write what each metric is and which way is better."""
    lines = []
    for row in metrics.itertuples():
        judged = pd.notna(row.best)
        better = "higher" if row.higher_is_better else "lower"
        lines.append(
            [
                row.metric,
                better if judged else "neither",
                f"{row.best:g}" if judged else "–",
                "yes" if row.scored else "no",
                str(row.summary),
                str(row.source),
            ]
        )
    return markdown_table(["metric", "better", "best", "ranked", "what it is", "source"], lines, left=6)
