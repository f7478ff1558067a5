"""The page: every table and figure of section 3 of the CycSeq paper beside its counterpart here, with what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from reports.figures.dose_embedding_figure import REAL, draw_embedding, read_neighbours, summarise
from reports.figures.enrichment_figure import draw_enrichment, read_enrichment
from reports.figures.paper_figures import draw_lines, draw_stages, draw_triangular, stages, triangular
from reports.figures.style import save, settings
from reports.formatting import interval, markdown_table, number
from reports.pages.paper.paper_tables import lay_out, of_paper, table_of_compounds, table_of_lines
from reports.pages.paper.sentences import calibration_sentence, what_it_shows, where_copying_wins, who_declined
from reports.stats.suite_results import Results
from reports.task_labels import BRACKETS

RUN = "python -m benchmarks.run --suite {suite}"
LEAD = "pearson_delta"


@dataclass
class Section:
    """A table or figure of the paper and its counterpart."""

    title: str
    suite: str
    blocks: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def table1(results: Results, out: Path) -> Section:
    """Table 1: every model by line, both directions."""
    table = table_of_lines(results)
    section = Section("Table 1: models by line", "cropseq", files=[_csv(table, out / "table1.csv")])
    for direction in results.directions:
        own = table[table["direction"] == direction]
        section.blocks += [_way(direction), lay_out(table, direction, sorted(set(own["name"])))]
        section.blocks += [what_it_shows(results, direction, "r2_pearson"), what_it_shows(results, direction, LEAD)]
        section.blocks += _named(who_declined(results, direction))
    return section


def table2(results: Results, out: Path) -> Section:
    """Table 2: every model by compound."""
    table = table_of_compounds(results)
    section = Section("Table 2: models by compound", "sciplex", files=[_csv(table, out / "table2.csv")])
    for direction in results.directions:
        own = table[table["direction"] == direction]
        section.blocks += [_way(direction), lay_out(table, direction, of_paper(sorted(set(own["name"]))))]
        section.blocks += [what_it_shows(results, direction, LEAD), *_named(who_declined(results, direction))]
    if (results.tables.scores["protocol"] == "low_to_high_dose").any():
        section.blocks.append(
            "The input is the same compound's cells at the next lower dose, so copying it is no copy of the control."
        )
    section.blocks.append("Each dose step is a line of `table2.csv`.")
    return section


def figure2(results: Results, out: Path) -> Section:
    """Figure 2: every metric by model and line."""
    section = Section("Figure 2: models by line, cross-line transfer", "replogle")
    for direction in results.directions:
        paths = save(draw_lines(results, direction), out / f"figure2-{direction}", svg=True)
        section.files += paths
        section.blocks += [_way(direction), _picture(paths[0])]
        section.blocks += [what_it_shows(results, direction, LEAD), what_it_shows(results, direction, "r2_pearson")]
        section.blocks += _named(who_declined(results, direction))
    return section


def figure3(results: Results, out: Path) -> Section:
    """Figure 3: is the output nearer the target than the input?"""
    table = triangular(results)
    section = Section("Figure 3: triangular validation", "triangular", files=[_csv(table, out / "figure3.csv")])
    for direction in sorted(set(table["direction"])):
        paths = save(draw_triangular(table, results, direction), out / f"figure3-{direction}", svg=True)
        section.files += paths
        section.blocks += [_way(direction), _picture(paths[0]), _triangular_words(table, direction)]
    return section


def figure4(results: Results, out: Path) -> Section:
    """Figure 4: pre-trained against fine-tuned."""
    section = Section("Figure 4: pre-trained against fine-tuned", "cropseq")
    table = stages(results)
    if table.empty:
        section.blocks.append(
            "No model was run both pre-trained and fine-tuned. Run "
            "`python -m benchmarks.run --suite cropseq --models cycseq_n2p,cycseq_p2n,cycseq_pretrained_n2p,cycseq_pretrained_p2n`."
        )
        return section
    section.files.append(_csv(table, out / "figure4.csv"))
    for direction in sorted(set(table["direction"])):
        paths = save(draw_stages(table, results, direction), out / f"figure4-{direction}", svg=True)
        section.files += paths
        section.blocks += [_way(direction), _picture(paths[0]), _stage_table(table[table["direction"] == direction])]
    return section


def figure5(results: Results, out: Path) -> Section:
    """Figure 5: real and predicted cells by dose."""
    section = Section("Figure 5: measured and predicted cells by dose (PHATE)", "sciplex")
    folder = results.folder / "embedding"
    if not (folder / "neighbours.csv").is_file():
        section.blocks.append(f"Not made yet: `python -m benchmarks.embedding {results.folder}`.")
        return section
    section.files += draw_embedding(folder, out)
    table = summarise(read_neighbours(folder))
    lines = [
        [
            str(row.model),
            str(row.unit),
            f"{row.dose:g} nM",
            f"{100 * row.share:.0f} %" + interval(100 * row.low, 100 * row.high, 0),
            f"{100 * row.chance:.0f} %",
        ]
        for row in table.sort_values(["dose", "share"], ascending=[True, False]).itertuples()
    ]
    section.blocks += [_picture(path) for path in section.files]
    section.blocks += [
        _dose_words(table),
        markdown_table(["model", "unit", "dose asked for", "right dose", "chance"], lines),
    ]
    return section


def figure6(results: Results, out: Path) -> Section:
    """Figure 6: gene-set enrichment."""
    section = Section(f"Figure 6: gene-set enrichment ({results.task(results.directions[0]).suite})", "sciplex")
    folder = results.folder / "enrichment"
    if not (folder / "agreement.csv").is_file():
        section.blocks.append(
            f"Not made yet: `python -m benchmarks.enrichment {results.folder} --gene-sets FILE.gmt` (without --gene-sets: the "
            "data set's own annotation). The paper's compound is Temsirolimus (it prints Temozolomide)."
        )
        return section
    section.files += draw_enrichment(folder, out)
    section.blocks += [_picture(path) for path in section.files]
    section.blocks.append(_enrichment_words(read_enrichment(folder)["agreement"]))
    return section


SECTIONS: Mapping[str, tuple[str, Callable[[Results, Path], Section]]] = {
    "Table 1: models by line": ("cropseq", table1),
    "Figure 2: models by line, cross-line transfer": ("replogle", figure2),
    "Figure 3: triangular validation": ("triangular", figure3),
    "Figure 4: pre-trained against fine-tuned": ("cropseq", figure4),
    "Table 2: models by compound": ("sciplex", table2),
    "Figure 5: measured and predicted cells by dose (PHATE)": ("sciplex", figure5),
    "Figure 6: gene-set enrichment": ("sciplex", figure6),
}


def write_page(runs: Mapping[str, Results], out: Path) -> list[Path]:
    """Write paper.md and everything it shows; returns the paths, the page last."""
    out.mkdir(parents=True, exist_ok=True)
    blocks, files = ["# The paper's tables and figures, and ours beside them", _how_to_read(runs)], []
    for title, (suite, build) in SECTIONS.items():
        results = _enriched(runs) if build is figure6 else runs.get(suite)
        if results is None:
            blocks += [f"## {title}", f"Not run: `{RUN.format(suite=suite)}`."]
            continue
        with settings():
            section = build(results, out)
        warnings = results.task(results.directions[0]).warnings
        blocks += [" — ".join((f"## {section.title}", *warnings)), *section.blocks]
        files += section.files
    blocks += ["## Where copying the input beats a model", *_copying(runs), "## Are the yardsticks in place"]
    blocks.append("\n".join(f"- {suite}: {calibration_sentence(results)}" for suite, results in runs.items()))
    page = out / "paper.md"
    page.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return [*files, page]


def _enriched(runs: Mapping[str, Results]) -> Results | None:
    """Choose the run of Figure 6: sciplex's, or another whose gene sets were enriched."""
    order = sorted(runs, key=lambda suite: (suite != "sciplex", suite))
    done = [suite for suite in order if (runs[suite].folder / "enrichment" / "agreement.csv").is_file()]
    return runs[done[0]] if done else runs.get("sciplex")


def _how_to_read(runs: Mapping[str, Results]) -> str:
    simulated = [suite for suite, results in runs.items() if results.simulated]
    text = (
        "`r2_pearson` is what the paper calls R²; it, MAE and MSE are high for a copy of the input. `pearson_delta` measures the "
        "predicted change and is 0 for a copy; the ceiling is one half of a condition's cells as prediction of the other half. "
        "Lines marked bracket learn nothing about a perturbation's own effect; those in italics are references, never ranked."
    )
    if simulated:
        text += (
            f"\n\n**SIMULATED data in: {', '.join(simulated)}.** Those numbers say how models behave where the truth is known, "
            "nothing about real cells; no published value stands beside them."
        )
    return text


def _copying(runs: Mapping[str, Results]) -> list[str]:
    lines = []
    for suite, results in runs.items():
        where = f"{suite} (simulated)" if results.simulated else suite
        sentences = where_copying_wins(results)
        lines += [f"- {where}, {sentence}" for sentence in sentences]
        lines += [] if sentences else [f"- {where}: nowhere; every model is ahead of `no_change` or equal to it."]
    return ["\n".join(lines)] if lines else ["No suite was run."]


def _triangular_words(table: pd.DataFrame, direction: str) -> str:
    own = table[(table["direction"] == direction) & (table["kind"] == "model") & ~table["model"].isin(BRACKETS)]
    if own.empty:
        return "No model answered."
    means = own.groupby("model")[["sim_tp", "sim_ip", "copy_margin"]].mean()
    flagged = own.groupby("model")["copies_input"].mean() if "copies_input" in own else pd.Series(dtype=float)
    nearer = sorted(means.index[means["copy_margin"] > 0])
    best = means["copy_margin"].idxmax()
    text = f"Nearer the target than the input on average: {', '.join(nearer) if nearer else 'no model'}; the widest margin has "
    text += f"{best}, {number(means.loc[best, 'copy_margin'], 3)} (sim(target, output) {number(means.loc[best, 'sim_tp'], 2)})."
    copies = sorted(flagged.index[flagged > 0])
    return text + (
        f" Flagged as copies on some gene: {', '.join(copies)}." if copies else " None is flagged as a copy."
    )


def _stage_table(table: pd.DataFrame) -> str:
    lines = []
    for row in table.itertuples():
        lines.append(
            [
                str(row.model),
                str(row.metric),
                str(row.context) or "all lines",
                number(row.pretrained, 4),
                number(row.finetuned, 4),
                number(row.gain, 4) + interval(row.low, row.high, 4),
                f"{row.p_holm:.2g}",
            ]
        )
    whole = table[table["context"] == ""]
    better, worse = whole[whole["low"] > 0], whole[whole["high"] < 0]
    sentence = "Over all lines, fine-tuning is better beyond the bootstrap error in: "
    sentence += ", ".join(f"{r.model} {r.metric}" for r in better.itertuples()) or "nothing"
    sentence += "; worse in: " + (", ".join(f"{r.model} {r.metric}" for r in worse.itertuples()) or "nothing") + "."
    header = ["model", "metric", "line", "pre-trained", "fine-tuned", "gain", "p (Wilcoxon, Holm)"]
    return f"{sentence}\n\n{markdown_table(header, lines, left=3)}"


def _dose_words(table: pd.DataFrame) -> str:
    means = table.groupby("model")[["share", "chance"]].mean()
    real = means.loc[REAL] if REAL in means.index else None
    rest = means.drop(index=REAL, errors="ignore").sort_values("share", ascending=False)
    best = rest.iloc[0]
    text = f"Of the nearest measured neighbours of the cells {rest.index[0]} predicts, {100 * best['share']:.0f} % are of the dose that "
    text += f"was asked for; chance gives {100 * best['chance']:.0f} %"
    return text + (f", measured cells of that dose {100 * real['share']:.0f} %." if real is not None else ".")


def _enrichment_words(agreement: pd.DataFrame) -> str:
    means = agreement.groupby("model")[["spearman_nes", "top_overlap", "top_chance", "sign_share"]].mean()
    means = means.sort_values("spearman_nes", ascending=False)
    lines = [
        [
            str(model),
            number(row["spearman_nes"], 2),
            f"{100 * row['top_overlap']:.0f} %",
            f"{100 * row['top_chance']:.0f} %",
            "–" if pd.isna(row["sign_share"]) else f"{100 * row['sign_share']:.0f} %",
        ]
        for model, row in means.iterrows()
    ]
    n = agreement[["context", "perturbation", "dose"]].drop_duplicates().shape[0]
    header = [
        "model",
        "Spearman of NES with the truth's",
        "top sets shared",
        "chance",
        "right sign of significant sets",
    ]
    return f"Means over {n} conditions.\n\n" + markdown_table(header, lines, left=1)


def _csv(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path, index=False, float_format="%.6g")
    return path


def _picture(path: Path) -> str:
    return f"![{path.stem}]({path.name})"


def _way(direction: str) -> str:
    return f"### {'Control to perturbed (n2p)' if direction == 'n2p' else 'Perturbed to control (p2n)'}"


def _named(text: str) -> list[str]:
    return [text] if text else []
