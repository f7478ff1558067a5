"""Figures of training: loss curves, and validation errors beside those of copying the input and of the mean effect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cycseq.errors import DataError
from cycseq.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Distinct under every common form of colour blindness. Source: Okabe and Ito, Color Universal Design, 2008."""
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


def loss_curves(histories: Sequence[History], path: str | Path) -> None:
    """Draw a row per stage: loss terms, and validation errors of n2p and of p2n with their trivial references.

    `histories` are stages, as in `CycSeq.history`; raises `DataError` if there are none. The ending of `path` decides the
    format of the image.
    """
    from matplotlib.figure import Figure

    if not histories:
        raise DataError("There are no histories to draw; expected those of a trained model, CycSeq.history.")
    figure = Figure(figsize=(11.5, 2.9 * len(histories) + 0.2), layout="constrained")
    axes = figure.subplots(len(histories), 3, squeeze=False, sharey=False)
    for (left, *right), history in zip(axes, histories, strict=True):
        _losses(left, history)
        for axis, direction in zip(right, ("n2p", "p2n"), strict=True):
            _errors(axis, history, direction)
        right[1].sharey(right[0])
        right[0].autoscale(axis="y")
    figure.savefig(str(path), dpi=150)


def _losses(axis: Axes, history: History) -> None:
    table = history.table().query("epoch > 0")
    for index, name in enumerate(name for name in TITLES if f"loss.{name}" in table):
        values, color, marker = table[f"loss.{name}"], COLORS[index], MARKERS[index]
        axis.plot(table["epoch"], values, lw=1.4, ms=3.5, label=TITLES[name], color=color, marker=marker)
    axis.set(ylabel="mean loss of the epoch, unweighted", yscale="log")
    _finish(axis, f"{history.name}: losses", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _errors(axis: Axes, history: History, direction: str) -> None:
    table = history.table()
    error, kept = table[f"validation.errors.{direction}"], table["kept"]
    axis.plot(table["epoch"], error, lw=1.4, ms=3.5, label="CycSeq", color=COLORS[0], marker=MARKERS[0])
    axis.plot(table["epoch"][kept], error[kept], "o", ms=10, mfc="none", mec="black", label="weights kept")
    for style, name, title in (("--", "copy", "copy of the input"), (":", "mean_effect", "mean effect")):
        axis.axhline(table[f"reference.{name}.{direction}"].iloc[0], color="0.3", ls=style, lw=1.3, label=title)
    axis.set(ylabel="mean squared error, (log2 units)²")
    _finish(axis, f"{history.name}: validation error, {direction}")


def _finish(axis: Axes, title: str, **legend: Any) -> None:
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("epoch")
    axis.locator_params(axis="x", integer=True)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=7, frameon=False, **legend)
