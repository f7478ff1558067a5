"""The page: every table and figure of section 3 of the CycSeq paper beside its counterpart here, with a summary of each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from reports.figures.dose_embedding_figure import draw_embedding, read_neighbours, summarise
from reports.figures.enrichment_figure import draw_enrichment, read_enrichment
from reports.figures.paper_figures import draw_lines, draw_stages, draw_triangular
from reports.figures.style import save, settings
from reports.formatting import bullets, picture, plain_table, save_page, save_table
from reports.pages import paper_text as text
from reports.stats.paper_scores import Results, stages, triangular
from reports.tables import Tables, load

_HEADINGS = {"n2p": "### Control to perturbed (n2p)", "p2n": "### Perturbed to control (p2n)"}


@dataclass
class Part:
    """What a table or figure of the paper is made from, and the files beside the page."""

    results: Results
    out: Path
    files: list[Path] = field(default_factory=list)

    def figure(self, figure: Figure, name: str) -> str:
        """Save a figure as PNG and SVG; returns the link to it."""
        return self.pictures(save(figure, self.out / name, svg=True))[0]

    def pictures(self, paths: list[Path]) -> list[str]:
        """Add figures that are saved already; returns the links to them."""
        self.files += paths
        return [picture(path, self.out) for path in paths]

    def by_direction(self, table: pd.DataFrame, name: str) -> Iterator[tuple[str, pd.DataFrame]]:
        """Save a table; yields each direction and its rows."""
        self.files.append(save_table(table, self.out / f"{name}.csv"))
        yield from table.groupby("direction")

    def summaries(self, direction: str, *metrics: str) -> Iterator[str]:
        """Yield the summary of some metrics, and the models without a value."""
        yield from (text.summary_of_metric(self.results, direction, metric) for metric in metrics)
        yield text.declined_models(self.results, direction)


def _table1(part: Part) -> Iterator[str]:
    """Table 1: every model by line, both directions."""
    for direction, own in part.by_direction(text.table_of_lines(part.results), "table1"):
        yield from (_HEADINGS[direction], text.lay_out(own, sorted(set(own["name"]))))
        yield from part.summaries(direction, "r2_pearson", text.LEAD)


def _table2(part: Part) -> Iterator[str]:
    """Table 2: every model by compound."""
    for direction, own in part.by_direction(text.table_of_compounds(part.results), "table2"):
        yield from (_HEADINGS[direction], text.lay_out(own, text.of_paper(set(own["name"]))))
        yield from part.summaries(direction, text.LEAD)
    if (part.results.tables.scores["protocol"] == "low_to_high_dose").any():
        yield "The input is the same compound's cells at the next lower dose, so copying it is no copy of the control."
    yield "Each dose step is a line of `table2.csv`."


def _figure2(part: Part) -> Iterator[str]:
    """Figure 2: every metric by model and line."""
    for direction in part.results.directions:
        link = part.figure(draw_lines(part.results, direction), f"figure2-{direction}")
        yield from (_HEADINGS[direction], link, *part.summaries(direction, text.LEAD, "r2_pearson"))


def _figure3(part: Part) -> Iterator[str]:
    """Figure 3: is the output nearer the target than the input?"""
    table = triangular(part.results)
    for direction, own in part.by_direction(table, "figure3"):
        link = part.figure(draw_triangular(table, part.results, direction), f"figure3-{direction}")
        yield from (_HEADINGS[direction], link, text.summary_of_triangle(own))


def _figure4(part: Part) -> Iterator[str]:
    """Figure 4: pre-trained and fine-tuned models."""
    table = stages(part.results)
    if table.empty:
        yield (
            "No model was run both pre-trained and fine-tuned. Run `python -m benchmarks.run --suite cropseq --models "
            "cycseq_n2p,cycseq_p2n,cycseq_pretrained_n2p,cycseq_pretrained_p2n`."
        )
        return
    for direction, own in part.by_direction(table, "figure4"):
        link = part.figure(draw_stages(table, part.results, direction), f"figure4-{direction}")
        yield from (_HEADINGS[direction], link, *text.blocks_of_stages(own))


def _figure5(part: Part) -> Iterator[str]:
    """Figure 5: measured and predicted cells by dose."""
    folder = part.results.folder / "embedding"
    if not (folder / "neighbours.csv").is_file():
        yield f"Not made yet: `python -m benchmarks.embedding {part.results.folder}`."
        return
    yield from part.pictures(draw_embedding(folder, part.out))
    yield from text.blocks_of_doses(summarise(read_neighbours(folder)))


def _figure6(part: Part) -> Iterator[str]:
    """Figure 6: gene-set enrichment."""
    folder = part.results.folder / "enrichment"
    if not (folder / "agreement.csv").is_file():
        yield (
            f"Not made yet: `python -m benchmarks.enrichment {part.results.folder} --gene-sets FILE.gmt` (without --gene-sets: "
            "the data set's own annotation). The paper's compound is Temsirolimus (it prints Temozolomide)."
        )
        return
    yield from part.pictures(draw_enrichment(folder, part.out))
    yield from text.blocks_of_enrichment(read_enrichment(folder)["agreement"])


SECTIONS: Mapping[str, tuple[str, Callable[[Part], Iterator[str]]]] = {
    "Table 1: models by line": ("cropseq", _table1),
    "Figure 2: models by line, cross-line transfer": ("replogle", _figure2),
    "Figure 3: triangular validation": ("triangular", _figure3),
    "Figure 4: pre-trained and fine-tuned models": ("cropseq", _figure4),
    "Table 2: models by compound": ("sciplex", _table2),
    "Figure 5: measured and predicted cells by dose (PHATE)": ("sciplex", _figure5),
    "Figure 6: gene-set enrichment": ("sciplex", _figure6),
}


def write_paper(folders: Mapping[str, Path], out: Path) -> list[Path]:
    """Write `paper.md` with the tables and figures of the paper and ours to a folder; returns the files, the page last.

    `folders` maps suites ("cropseq", "replogle", "sciplex", "triangular"; others get their sentences) to the folders of
    finished runs. A suite that is missing is a line with the command that runs it. Tables that cannot be reported raise
    `ReportError`.
    """
    runs = {suite: Results(folder, _plain(load(folder))) for suite, folder in folders.items()}
    out.mkdir(parents=True, exist_ok=True)
    blocks, files = ["# The paper's tables and figures, and ours beside them", *_how_to_read(runs)], []
    for title, (suite, build) in SECTIONS.items():
        results = _enriched(runs) if build is _figure6 else runs.get(suite)
        if results is None:
            blocks += [f"## {title}", f"Not run: `python -m benchmarks.run --suite {suite}`."]
            continue
        part = Part(results, out)
        with settings():
            written = list(build(part))
        task = results.task(results.directions[0])
        heading = f"## {title} ({task.suite})" if build is _figure6 else f"## {title}"
        blocks += [" — ".join((heading, *task.warnings)), *written]
        files += part.files
    losses = bullets(line for suite, results in runs.items() for line in text.losses_to_copying(suite, results))
    blocks += ["## Models worse than a copy of the input", losses or "No suite was run.", "## Reference scores"]
    blocks.append(bullets(f"{suite}: {text.calibration_sentence(results)}" for suite, results in runs.items()))
    return [*files, save_page(blocks, out / "paper.md")]


def _plain(tables: Tables) -> Tables:
    """Escape the texts of all tables of a run."""
    return replace(tables, **{name: plain_table(table) for name, table in vars(tables).items() if name != "notes"})


def _enriched(runs: Mapping[str, Results]) -> Results | None:
    """Choose the run of Figure 6: sciplex's, or another with enriched gene sets."""
    order = sorted(runs, key=lambda suite: (suite != "sciplex", suite))
    done = [suite for suite in order if (runs[suite].folder / "enrichment" / "agreement.csv").is_file()]
    return runs[done[0]] if done else runs.get("sciplex")


def _how_to_read(runs: Mapping[str, Results]) -> Iterator[str]:
    yield (
        "`r2_pearson` is what the paper calls R²; it, MAE and MSE are high for a copy of the input. `pearson_delta` measures the "
        "predicted change and is 0 for a copy; the split half is one half of a condition's cells as prediction of the other half. "
        "Lines marked bracket learn nothing about a perturbation's own effect; those in italics are references, never ranked."
    )
    simulated = [suite for suite, results in runs.items() if results.simulated]
    if simulated:
        yield (
            f"**SIMULATED data in: {', '.join(simulated)}.** Those numbers describe how models behave where the truth is known, "
            "not real cells; no published value stands beside them."
        )
