"""What `tests.bench.peers` does with arrays, in processes of its own: `python -m tests.bench.steps WHAT CASE OUT`.

write   files of a case; prints how a scorer is to read them, as JSON
sizes   sizes along which cost is measured, as JSON
agree   our metrics held against cell-eval's values on the same inputs
draw    cost against cells, genes and conditions, from OUT/scaling.csv
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import ScalarFormatter

from tests.bench.cases import CASES, COLUMN, CONTROL, SCALING, A, write_case
from tests.bench.shared_inputs import ours

KNOWN = {case.name: case for case in (*CASES.values(), *SCALING)}
REAL = "perturbench_devel"
SAME = ("pearson_delta", "mse", "mae", "mse_delta", "mae_delta", "discrimination_score_l1")
"""Metrics that need no setting of cell-eval's to be ours; those of fold changes are compared in the unit test."""


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("write", "sizes", "agree", "draw"))
    parser.add_argument("case")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--train", action="store_true", help="write training cells too")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.what == "write":
        files = write(given.case, given.out, given.data_dir)
        if given.train:
            files["train"] = str(training(given.case, given.out))
        print(json.dumps(files))
    elif given.what == "sizes":
        print(json.dumps([asdict(A), *(asdict(case) for case in SCALING)]))
    elif given.what == "agree":
        agree(given.case, given.out, given.data_dir)
    else:
        draw(pd.read_csv(given.out / "scaling.csv"), given.out / "scaling.png")


def write(name: str, out: Path, data_dir: Path | None) -> dict[str, str]:
    """Write truth and prediction of a case."""
    folder = out / "cases"
    if name == REAL:
        if data_dir is None:
            raise SystemExit(f"Case {REAL} needs --data-dir.")
        truth, prediction = write_real(data_dir / REAL / "devel.h5ad", folder)
    else:
        truth, prediction = write_case(KNOWN[name], folder)
    return {"case": name, "truth": str(truth), "prediction": str(prediction), "column": COLUMN, "control": CONTROL}


def training(name: str, out: Path) -> Path:
    """Write training cells of a case: another draw of it; for the real grid, whose cells are all used, the truth itself."""
    if name == REAL:
        return out / "cases" / f"{REAL}_truth.h5ad"
    return write_case(replace(KNOWN[name], name=f"{name}_training", seed=1), out / "cases")[0]


def write_real(source: Path, folder: Path) -> tuple[Path, Path]:
    """Make a pair of files of the real grid: halves of every condition's cells, the controls in both.

    A condition is named context and perturbation, and the controls of all contexts are one, because cell-eval knows no
    contexts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cells = ad.read_h5ad(source)
    labels = cells.obs["condition"].astype(str) + "_" + cells.obs["cell_type"].astype(str)
    labels = labels.mask(cells.obs["condition"].astype(str) == "control", CONTROL)
    bare = ad.AnnData(X=cells.X, obs=pd.DataFrame({COLUMN: labels}), var=pd.DataFrame(index=cells.var_names))
    generator = np.random.default_rng(0)
    side = pd.Series(generator.random(bare.n_obs), index=labels.index).groupby(labels).rank(pct=True) > 0.5
    controls = (labels == CONTROL).to_numpy()
    paths = folder / f"{REAL}_truth.h5ad", folder / f"{REAL}_prediction.h5ad"
    for path, half in zip(paths, (side.to_numpy(), ~side.to_numpy()), strict=True):
        bare[controls | half].copy().write_h5ad(path)
    return paths


def agree(name: str, out: Path, data_dir: Path | None) -> None:
    """Compare the values of metrics both define, on one control mean; writes the largest differences."""
    files = write(name, out, data_dir)
    truth, predicted = (_in_float64(ad.read_h5ad(files[side])) for side in ("truth", "prediction"))
    mine = ours(truth, predicted, COLUMN, CONTROL)[list(SAME)]
    theirs = pd.read_csv(out / f"cell_eval_{name}.csv").pivot(index="perturbation", columns="metric", values="value")
    gaps = (mine - theirs.loc[mine.index, list(SAME)]).abs().max()
    gaps.rename("largest_difference").to_csv(out / f"agreement_{name}.csv")
    print(f"{name}: largest differences from cell-eval over {len(mine)} perturbations (its means are float32)")
    print(gaps.to_string())


def _in_float64(cells: ad.AnnData) -> ad.AnnData:
    cells.X = cells.X.astype(np.float64)
    return cells


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw seconds of CPU and memory against cells, genes and conditions, one size at a time, on logarithmic axes."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
    shown = (
        ("cpu_s", 1.0, "CPU seconds, start of Python included"),
        ("peak_bytes", 2**30, "most memory held, GiB"),
    )
    looks = {"cells": ("#0072b2", "-o"), "genes": ("#e69f00", "--s"), "perturbations": ("#009e73", ":^")}
    ours_alone = table[(table["scorer"] == "ours") & (table["ended"] == "ok")]
    for axes, (column, unit, label) in zip(panels, shown, strict=True):
        for what, (colour, style) in looks.items():
            rest = [w for w in looks if w != what]
            line = ours_alone[(ours_alone[rest] == [getattr(A, w) for w in rest]).all(axis=1)].sort_values(what)
            axes.loglog(line[what] / getattr(A, what), line[column] / unit, style, color=colour, label=what)
        axes.set(xlabel="size, times that of case A", ylabel=label)
        axes.set_xticks([0.5, 1, 2, 4], labels=["½", "1", "2", "4"], minor=False)
        axes.xaxis.set_minor_formatter("")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
        axes.grid(visible=True, which="both", alpha=0.2)
    panels[0].legend(frameon=False, title="more")
    figure.suptitle("Cost of scoring one prediction (A: 100 perturbations × 100 cells × 2,000 genes)", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
