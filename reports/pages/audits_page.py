"""The audits of a suite on one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reports.figures.audit_figures import draw_directions, draw_integrations, draw_protocols
from reports.figures.style import settings
from reports.formatting import interval, markdown_table, number
from reports.task_labels import Task

_INTRO = {
    "protocols": """\
The same models, the same conditions: once held out, once under `resampled`, the CycSeq paper's protocol, in which a test
sample is a draw of cells that were trained on. "gain" is how much better the leaky score is (95 % interval, paired);
"leakage" is the share of the leaky score above `no_change` that is gone when the condition is held out ("all": nothing above
`no_change` is left). The ceilings differ too: a test sample of `resampled` is 50 cells, its input and reference can share
cells.""",
    "direction": """\
Every model's n2p change (controls to perturbed) is handed in as the answer to p2n (perturbed to controls), whose true change
is the opposite. "planted" is the condition's own effect, measured between p2n's input cells and training controls: turned
round as p2n asks it must score, left as it is it must be caught. An answer is caught where the whole 95 % interval of
`pearson_delta` lies below 0, which is what predicting no change scores; how far `r2_pearson`, the paper's R², falls stands beside it.""",
    "integration": """\
The same models under `held_out_cells` (per-condition ComBat cannot be estimated where a condition is held out) on cells as
they are, after technical and after per-condition ComBat. "effect left" is the median share of a perturbation's E-distance to
its controls that the method leaves.""",
}
_TITLES = {
    "protocols": "Protocol: how much of a score is leakage",
    "direction": "Direction: is a wrong answer caught",
    "integration": "Integration: what batch correction does to scores",
}
_DRAW = {"protocols": draw_protocols, "direction": draw_directions, "integration": draw_integrations}


def write_audits(tables: Mapping[str, pd.DataFrame], words: Mapping[str, str], out: Path) -> list[Path]:
    """Write a CSV table and figures per audit, and audits.md.

    Parameters
    ----------
    tables
        "protocols", "direction", "integration" → what `compare_protocols`, `judge_directions` and `compare_integrations`
        returned, "direction_metrics" → what `rate_metrics` did; any of them.
    words
        Method of integration → what it does to the data.
    out
        Folder; made if it does not exist.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    blocks = ["# Audits"]
    for name, table in tables.items():
        paths.append(out / f"{name}.csv")
        table.to_csv(paths[-1], index=False, float_format="%.6g")
        if name not in _TITLES:
            continue
        with settings():
            figures = _DRAW[name](table, out)
        blocks += [f"## {_TITLES[name]}", _INTRO[name]]
        if (table["source"] == "simulated").any():
            blocks.append("**SIMULATED data**: what follows says nothing of real cells.")
        blocks += _BLOCKS[name](table)
        blocks += (
            [_seeing(tables["direction_metrics"])] if name == "direction" and "direction_metrics" in tables else []
        )
        blocks += (
            ["\n".join(f"- **{method}**: {text}" for method, text in words.items())] if name == "integration" else []
        )
        blocks += [f"![{figure.stem}]({figure.name})" for figure in figures]
        paths += figures
    page = out / "audits.md"
    page.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return [*paths, page]


def _seeing(table: pd.DataFrame) -> str:
    """Name the metrics that tell the planted effect turned round from the same left as it is, and those that do not."""
    blind = list(table.loc[~table["sees"], "metric"])
    text = f"{int(table['sees'].sum())} of {len(table)} metrics score the planted effect better turned round than left as it is, "
    text += "beyond the bootstrap error (`direction_metrics.csv`)"
    return text + (f"; not: {', '.join(blind)}." if blind else ".")


def _protocols(table: pd.DataFrame) -> list[str]:
    blocks = []
    for _, own in table[table["metric"].isin(("pearson_delta", "r2_pearson"))].groupby("direction", sort=True):
        lines = []
        for row in own.sort_values(["metric", "kind", "leaky"], ascending=[True, True, False]).itertuples():
            name = f"*{row.model}*" if row.kind == "reference" else row.model
            gain = number(row.gain, 3) + interval(row.low, row.high, 3)
            lines.append([str(row.metric), name, number(row.honest, 3), number(row.leaky, 3), gain, _share(row)])
        protocol, n = own["honest_protocol"].iloc[0], int(own["n_conditions"].max())
        blocks.append(f"### {_heading(own, str(protocol))}: {n} conditions")
        blocks.append(markdown_table(["metric", "model", str(protocol), "resampled (LEAKY)", "gain", "leakage"], lines))
        blocks.append(_leakage_sentence(own))
    return blocks


def _share(row: Any) -> str:
    """Write the share of a model's leaky score that is leakage; nothing for a reference."""
    if row.kind == "reference" or pd.isna(row.share):
        return "–"
    return "all" if row.share >= 1 else "none" if row.share <= 0 else f"{100 * row.share:.0f} %"


def _leakage_sentence(own: pd.DataFrame) -> str:
    rows = own[(own["metric"] == "pearson_delta") & (own["kind"] == "model") & (own["low"] > 0)]
    if rows.empty:
        return "No model scores better in `pearson_delta` for having seen the test cells, beyond the bootstrap error."
    named = ", ".join(
        f"{row.model} by {number(row.gain, 2)}" for row in rows.sort_values("gain", ascending=False).itertuples()
    )
    return f"Having seen the test cells raises `pearson_delta` beyond the bootstrap error of: {named}."


def _direction(table: pd.DataFrame) -> list[str]:
    lines = []
    for row in table.itertuples():
        lines.append(
            [
                str(row.model),
                "as asked (p2n)" if row.answer == "p2n" else "n2p change",
                number(row.pearson_delta, 3) + interval(row.low, row.high, 3),
                "–" if pd.isna(row.scaled) else number(row.scaled, 2),
                number(row.r2_pearson, 3),
                f"{100 * row.copies_input:.0f} %",
                str(row.verdict),
            ]
        )
    header = ["model", "answer", "pearson_delta", "scaled", "r2_pearson", "flagged as copies", "verdict"]
    wrong = table[(table["answer"] == "n2p") & (table["model"] != "planted")]
    caught = wrong[wrong["verdict"] == "caught"]
    rest = wrong[wrong["verdict"] != "caught"]
    sentence = f"{len(caught)} of {len(wrong)} models are caught when their n2p change is handed in as p2n"
    sentence += (
        f"; not caught: {', '.join(f'{r.model} ({r.verdict})' for r in rest.itertuples())}." if len(rest) else "."
    )
    return [f"### {_heading(table, str(table['protocol'].iloc[0]))}", markdown_table(header, lines), sentence]


def _integration(table: pd.DataFrame) -> list[str]:
    blocks = []
    for _, own in table[table["metric"].isin(("pearson_delta", "r2_pearson"))].groupby("direction", sort=True):
        methods = list(dict.fromkeys(own["method"]))
        lines = []
        for (metric, kind, model), rows in own.groupby(["metric", "kind", "model"], sort=True):
            by = rows.set_index("method")
            cells = [
                number(by.loc[m, "mean"], 3) + interval(by.loc[m, "low"], by.loc[m, "high"], 3)
                if m in by.index
                else "–"
                for m in methods
            ]
            lines.append([str(metric), f"*{model}*" if kind == "reference" else str(model), *cells])
        left = own.drop_duplicates("method")
        lines.append(["effect left", "", *(f"{100 * value:.0f} %" for value in left["effect_left"])])
        blocks.append(f"### {_heading(own, str(own['protocol'].iloc[0]))}")
        blocks.append(markdown_table(["metric", "model", *methods], lines))
        blocks += _noise_sentences(own)
    return blocks


def _noise_sentences(own: pd.DataFrame) -> list[str]:
    """Say under which methods other control cells score, who know nothing of any perturbation."""
    rows = own[(own["metric"] == "pearson_delta") & (own["model"] == "other_controls") & (own["low"] > 0)]
    return [
        f"Under {row.method}, the context's training controls given as the prediction score {number(row.mean, 2)}"
        f"{interval(row.low, row.high, 2)} in `pearson_delta`, although they know nothing of any perturbation: what cells of a "
        "corrected batch share there is the error of its estimated correction, and neither that score nor the ceiling beside "
        "it is an effect."
        for row in rows.itertuples()
    ]


def _heading(rows: pd.DataFrame, protocol: str) -> str:
    first = rows.iloc[0]
    direction = str(first["direction"])
    task = Task(str(first["suite"]), str(first["dataset"]), str(first["source"]), protocol, direction)
    return " — ".join((f"{task.suite}: {task.title}", *task.warnings))


_BLOCKS = {"protocols": _protocols, "direction": _direction, "integration": _integration}
