"""Time, memory and disk against cells, conditions and workers: `python -m tests.bench.scale`, `make bench-scale`.

For every size, files in the form of Replogle's K562 and RPE1 are made (`upstream_screens`), prepared, and run through the seven simple
baselines; each step is measured by `process_tree`. One of cells, conditions and workers is varied at a time. Results: OUT/scale.csv,
OUT/scale.png; the files are deleted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.data.download import sha256_of
from benchmarks.data.stand_ins import StandIn, write_list
from reports.figures.style import new_figure, save, settings
from tests.bench.process_tree import Measured, measure
from tests.bench.upstream_screens import write_knock_downs

MODELS = "no_change,train_mean,context_transfer,linear,knn,additive,own_gene"
PANELS = (
    ("seconds", "seconds"),
    ("peak_gb", "peak memory, GB"),
    ("disk_peak_gb", "peak disk, GB"),
)
OF_ALL = ("largest_process_gb",)
"""What the kernel tells of all commands so far, not of one."""
AXES = {
    "cells": "cells of both lines (thousands)",
    "conditions": "knock-downs in a line",
    "workers": "trainings at a time",
}


@dataclass(frozen=True)
class Size:
    """What is run."""

    varied: str
    """Which of the following this row belongs to."""
    cells: int
    """Of both lines together."""
    conditions: int
    """Knock-downs of a line."""
    workers: int


def sizes(given: argparse.Namespace) -> Iterator[Size]:
    """List what is run: each of the three varied, the others at their first value."""
    first = {name: getattr(given, name)[0] for name in AXES}
    for varied in AXES:
        for value in getattr(given, varied):
            yield Size(varied, **(first | {varied: value}))


def main() -> None:
    """Measure every size, write the table after each, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=_numbers, default=[20_000, 40_000, 80_000], help="with commas between")
    parser.add_argument("--conditions", type=_numbers, default=[200, 100, 400])
    parser.add_argument("--workers", type=_numbers, default=[1, 2])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--direction", default="n2p")
    parser.add_argument("--out", type=Path, default=Path("build/scale"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for size in sizes(given):
        for stage, found in run(size, given):
            if found.status:
                sys.exit(f"{' '.join(found.command)}: exit status {found.status}")
            known = {k: v for k, v in asdict(found).items() if k not in ("command", "disk_gb", "status", *OF_ALL)}
            rows.append({**asdict(size), "stage": stage, **known})
            table = pd.DataFrame(rows)
            table.to_csv(given.out / "scale.csv", index=False)
            print(table.tail(1).to_string(header=len(rows) == 1, index=False), flush=True)
    with settings():
        save(draw(table), given.out / "scale", svg=False)


def run(size: Size, given: argparse.Namespace) -> Iterator[tuple[str, Measured]]:
    """Make the files of a size, and measure their preparation and a run from them; delete them."""
    folder = (given.out / "files").resolve()
    cache, results = folder / "cache", folder / "results"
    shutil.rmtree(folder, ignore_errors=True)
    cache.mkdir(parents=True)
    try:
        made = [write_knock_downs(folder, line, size.cells // 2, size.conditions) for line in ("k562", "rpe1")]
        write_list(folder, {path.name: StandIn(sha256_of(path), path.stat().st_size) for path in made})
        environment = {**os.environ, "CYCSEQ_CACHE": str(cache)}
        python = [sys.executable, "-m"]
        data = ["--data-dir", str(folder)]
        yield "prepare", measure([*python, "benchmarks.data", "prepare", "replogle", *data], [cache], env=environment)
        command = [
            *python,
            "benchmarks.run",
            "--suite",
            "replogle",
            "--data",
            "real",
            *data,
            "--preset",
            "paper",
            "--folds",
            "1",
        ]
        command += [
            "--models",
            given.models,
            "--direction",
            given.direction,
            "--jobs",
            str(size.workers),
            "--threads",
            "1",
        ]
        yield "run", measure([*command, "--no-figures", "--out", str(results)], [cache, results], env=environment)
    finally:
        shutil.rmtree(folder)


def draw(table: pd.DataFrame) -> Figure:
    """Draw the cost of each stage: a row of panels for each quantity that was varied."""
    varied = [name for name in AXES if (table.loc[table["varied"] == name, name].drop_duplicates().size > 1)] or [
        "cells"
    ]
    figure = new_figure(2.6 * len(varied))
    panels = figure.subplots(len(varied), len(PANELS), squeeze=False).ravel()
    for i, name in enumerate(varied):
        some = table[table["varied"] == name].assign(cells=lambda t: t["cells"] / 1000)
        for j, (column, label) in enumerate(PANELS):
            axes = panels[len(PANELS) * i + j]
            sns.lineplot(
                some,
                x=name,
                y=column,
                hue="stage",
                style="stage",
                markers=True,
                palette="colorblind",
                ax=axes,
                legend=not i + j,
            )
            axes.set(xlabel=AXES[name], ylabel=label, ylim=(0, None), xlim=(0, None))
    figure.suptitle("SIMULATED cells in the form of Replogle 2022, seven simple baselines")
    return figure


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    mpl.use("agg")
    main()
