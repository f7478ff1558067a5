"""The audits of a suite on one page."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reports.figures.audit_figures import draw_directions, draw_integrations, draw_protocols
from reports.figures.style import settings
from reports.formatting import (
    bullets,
    change_texts,
    markdown_table,
    number,
    percent,
    picture,
    plain_table,
    save_page,
    save_table,
    visible,
    with_interval,
)
from reports.task_labels import Task, marked

Blocks = Callable[[pd.DataFrame], Iterator[str]]


def write_audits(tables: Mapping[str, pd.DataFrame], methods: Mapping[str, str], out: Path) -> list[Path]:
    """Write a CSV table and figures per audit, and audits.md, to the folder `out`.

    Parameters
    ----------
    tables
        "protocols", "direction", "integration" → what `compare_protocols`, `judge_directions` and `compare_integrations`
        returned, "direction_metrics" → what `rate_metrics` did; any of them.
    methods
        Method of integration → what it does to the data.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    blocks = ["# Audits"]
    for name, table in tables.items():
        paths.append(save_table(table, out / f"{name}.csv"))
        if name not in AUDITS:
            continue
        title, intro, write, draw = AUDITS[name]
        with settings():
            figures = draw(change_texts(table, visible), out)
        blocks += [f"## {title}", intro]
        if (table["source"] == "simulated").any():
            blocks.append("**SIMULATED data**: these results do not describe real cells.")
        blocks += write(plain_table(table))
        if name == "direction" and "direction_metrics" in tables:
            blocks.append(_sensitive_metrics(plain_table(tables["direction_metrics"])))
        if name == "integration":
            blocks.append(bullets(f"**{method}**: {text}" for method, text in methods.items()))
        blocks += [picture(figure, out) for figure in figures]
        paths += figures
    return [*paths, save_page(blocks, out / "audits.md")]


def _sensitive_metrics(table: pd.DataFrame) -> str:
    """Count the metrics that depend on the direction of the planted effect, and name those that do not."""
    blind = ", ".join(table.loc[~table["sees"], "metric"])
    return (
        f"{int(table['sees'].sum())} of {len(table)} metrics score the planted effect better reversed than unchanged, beyond "
        "the bootstrap error (`direction_metrics.csv`)" + (f"; not: {blind}." if blind else ".")
    )


def _by_direction(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of each direction that the page shows."""
    shown = table[table["metric"].isin(("pearson_delta", "r2_pearson"))]
    return [own for _, own in shown.groupby("direction", sort=True)]


def _protocols(table: pd.DataFrame) -> Iterator[str]:
    for own in _by_direction(table):
        protocol = str(own["honest_protocol"].iloc[0])
        lines = [
            {
                "metric": str(row.metric),
                "model": marked(row.model, row.kind),
                protocol: number(row.honest, 3),
                "resampled (LEAKY)": number(row.leaky, 3),
                "gain": with_interval(row.gain, row.low, row.high, 3),
                "leakage": _share(row),
            }
            for row in own.sort_values(["metric", "kind", "leaky"], ascending=[True, True, False]).itertuples()
        ]
        yield f"{_heading(own, protocol)}: {int(own['n_conditions'].max())} conditions"
        yield markdown_table(lines)
        raised = own[(own["metric"] == "pearson_delta") & (own["kind"] == "model") & (own["low"] > 0)]
        raised = raised.sort_values("gain", ascending=False)
        named = ", ".join(f"{row.model} by {number(row.gain, 2)}" for row in raised.itertuples())
        which = f"beyond the bootstrap error of: {named}." if named else "of no model beyond the bootstrap error."
        yield f"Training on the test cells raises `pearson_delta` {which}"


def _share(row: Any) -> str:
    """Write the share of a model's leaky score that is leakage; nothing for a reference."""
    if row.kind == "reference" or pd.isna(row.share):
        return "–"
    return "all" if row.share >= 1 else "none" if row.share <= 0 else percent(row.share)


def _direction(table: pd.DataFrame) -> Iterator[str]:
    lines = [
        {
            "model": str(row.model),
            "answer": "p2n (required)" if row.answer == "p2n" else "n2p change",
            "pearson_delta": with_interval(row.pearson_delta, row.low, row.high, 3),
            "scaled": number(row.scaled, 2),
            "r2_pearson": number(row.r2_pearson, 3),
            "flagged as copies": percent(row.copies_input),
            "verdict": str(row.verdict),
        }
        for row in table.itertuples()
    ]
    yield _heading(table, str(table["protocol"].iloc[0]))
    yield markdown_table(lines)
    wrong = table[(table["answer"] == "n2p") & (table["model"] != "planted")]
    rest = wrong[wrong["verdict"] != "caught"]
    text = f"{len(wrong) - len(rest)} of {len(wrong)} models are caught when their n2p change is scored as p2n"
    missed = ", ".join(f"{row.model} ({row.verdict})" for row in rest.itertuples())
    yield f"{text}; not caught: {missed}." if missed else f"{text}."


def _integration(table: pd.DataFrame) -> Iterator[str]:
    for own in _by_direction(table):
        methods = list(dict.fromkeys(own["method"]))
        lines = []
        for (metric, kind, model), rows in own.groupby(["metric", "kind", "model"], sort=True):
            found = {row.method: with_interval(row.mean, row.low, row.high, 3) for row in rows.itertuples()}
            lines.append(
                {"metric": str(metric), "model": marked(model, kind)} | {m: found.get(m, "–") for m in methods}
            )
        left = map(percent, own.drop_duplicates("method")["effect_left"])
        lines.append({"metric": "effect left", "model": ""} | dict(zip(methods, left, strict=True)))
        yield _heading(own, str(own["protocol"].iloc[0]))
        yield markdown_table(lines)
        controls = (own["metric"] == "pearson_delta") & (own["model"] == "other_controls") & (own["low"] > 0)
        for row in own[controls].itertuples():
            yield (
                f"Under {row.method}, the context's training controls given as the prediction score "
                f"{with_interval(row.mean, row.low, row.high, 2)} in `pearson_delta`, although they hold no effect of any "
                "perturbation: what cells of a corrected batch share there is the error of its estimated correction, and "
                "neither that score nor the split half beside it is an effect."
            )


def _heading(rows: pd.DataFrame, protocol: str) -> str:
    task = Task(protocol=protocol, **rows.iloc[0][["suite", "dataset", "source", "direction"]].astype(str))
    return " — ".join((f"### {task.suite}: {task.title}", *task.warnings))


AUDITS: dict[str, tuple[str, str, Blocks, Callable[[pd.DataFrame, Path], list[Path]]]] = {
    "protocols": (
        "Protocol: how much of a score is leakage",
        """\
The same models, the same conditions: once held out, once under `resampled`, the CycSeq paper's protocol, in which a test
sample is a draw of cells that were trained on. "gain" is how much better the leaky score is (95 % interval, paired);
"leakage" is the share of the leaky score above `no_change` that is gone when the condition is held out ("all": nothing above
`no_change` is left). The split halves differ too: a test sample of `resampled` is 50 cells, its input and reference can share
cells.""",
        _protocols,
        draw_protocols,
    ),
    "direction": (
        "Direction: is a wrong answer caught",
        """\
Every model's n2p change (controls to perturbed) is scored as an answer to p2n (perturbed to controls), whose true change
is the opposite. "planted" is the condition's own effect, measured between p2n's input cells and training controls: reversed,
as p2n requires, it must score; unchanged, it must be caught. An answer is caught where the whole 95 % interval of
`pearson_delta` lies below 0, the score of predicting no change; `r2_pearson`, the paper's R², is shown beside it.""",
        _direction,
        draw_directions,
    ),
    "integration": (
        "Integration: what batch correction does to scores",
        """\
The same models under `held_out_cells` (per-condition ComBat cannot be estimated where a condition is held out) on cells as
they are, after technical and after per-condition ComBat. "effect left" is the median share of a perturbation's E-distance to
its controls that the method leaves.""",
        _integration,
        draw_integrations,
    ),
}
