"""Figures of training: loss curves and validation errors beside what copying the input or the mean effect gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cycseq.errors import DataError
from cycseq.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Told apart with every common form of colour blindness. Source: Okabe and Ito, Color Universal Design, 2008."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
TITLES = {
    "cycle": "cycle (1 = Var(x))",
    "paired": "paired (1 = Var(x))",
    "kl": "KL (nats)",
    "perturbation": "perturbation label (nats)",
    "batch": "batch label (nats)",
    "adversarial": "adversarial, generators",
    "critic": "adversarial, critics",
    "gradient_penalty": "gradient penalty",
}
ROW = 2.9
"""Height of a stage, inches."""


def loss_curves(histories: Sequence[History], path: str | Path) -> None:
    """Draw a row for each stage: loss terms, validation errors of n2p and of p2n with their trivial references.

    Parameters
    ----------
    histories
        Stages, as `CycSeq.history` keeps them.
    path
        Image to write; its ending decides the format.

    Raises
    ------
    DataError
        There are no histories.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not histories:
        raise DataError("There are no histories to draw; give those of a trained model, CycSeq.history.")
    figure = Figure(figsize=(11.5, ROW * len(histories) + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(histories), 3, squeeze=False)
    for row, history in zip(axes, histories, strict=True):
        table = history.table()
        _losses(row[0], table, history.name)
        for axis, direction in zip(row[1:], ("n2p", "p2n"), strict=True):
            _errors(axis, table, direction, history.name)
    for row in axes[:, 1:]:
        lowest = min(axis.get_ylim()[0] for axis in row)
        highest = max(axis.get_ylim()[1] for axis in row)
        for axis in row:
            axis.set_ylim(lowest, highest)
    figure.savefig(str(path), dpi=150)


def _losses(axis: Axes, table: pd.DataFrame, title: str) -> None:
    trained = table[table["epoch"] > 0]
    names = [name for name in TITLES if f"loss.{name}" in table]
    for index, name in enumerate(names):
        _line(axis, trained["epoch"], trained[f"loss.{name}"], index, TITLES[name])
    axis.set(xlabel="epoch", ylabel="mean loss of the epoch, unweighted", yscale="log", title=f"{title}: losses")
    _finish(axis)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _errors(axis: Axes, table: pd.DataFrame, direction: str, stage: str) -> None:
    error = table[f"validation.errors.{direction}"]
    _line(axis, table["epoch"], error, 0, "CycSeq")
    kept = table["kept"]
    axis.plot(table["epoch"][kept], error[kept], "o", ms=10, mfc="none", mec="black", label="weights kept")
    for style, name, title in (("--", "copy", "copy of the input"), (":", "mean_effect", "mean effect")):
        axis.axhline(table[f"reference.{name}.{direction}"].iloc[0], color="0.3", ls=style, lw=1.3, label=title)
    axis.set(
        xlabel="epoch", ylabel="mean squared error, (log2 units)²", title=f"{stage}: validation error, {direction}"
    )
    _finish(axis)
    axis.legend(fontsize=7, frameon=False)


def _line(axis: Axes, x: pd.Series, y: pd.Series, index: int, title: str) -> None:
    color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
    axis.plot(x, y, lw=1.4, ms=3.5, markevery=max(1, len(x) // 12), label=title, color=color, marker=marker)


def _finish(axis: Axes) -> None:
    axis.locator_params(axis="x", integer=True)
    axis.title.set_fontsize(9)
    axis.tick_params(labelsize=8)
    for label in (axis.xaxis.label, axis.yaxis.label):
        label.set_fontsize(8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
