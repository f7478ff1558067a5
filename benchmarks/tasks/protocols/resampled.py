"""The CycSeq paper's protocol: test cells are drawn from the cells that are trained on.

Source: leave-one-draw-out, section 2.2 of the CycSeq paper.
"""

from __future__ import annotations

import numpy as np

from benchmarks.tasks.conditions import Index, TestCondition
from benchmarks.tasks.protocol import Fold, Protocol, control_groups, controls_of, with_cells

DRAW_CELLS = 50
"""Cells in one draw of the paper (c_s)."""


def assign(fold: Fold) -> tuple[Index, list[TestCondition]]:
    """Train on all cells, and draw the cells of each condition from them."""

    def draw(cells: Index) -> Index:
        return np.sort(fold.generator.choice(cells, min(DRAW_CELLS, len(cells)), replace=False))

    controls, tested = controls_of(fold.obs), []
    for condition in fold.tested:
        groups = control_groups(fold.obs, fold.groups[condition])
        own = np.sort(np.concatenate([controls[g] for g in groups]))
        start, cells = (draw(own), draw(own)), draw(fold.groups[condition])
        tested.append(with_cells(condition, start, cells, fold))
    return np.arange(len(fold.obs)), tested


PROTOCOL = Protocol(
    name="resampled",
    summary="the paper's: draws of the cells trained on (leaky)",
    order=5,
    assign=assign,
    leaky=True,
)
