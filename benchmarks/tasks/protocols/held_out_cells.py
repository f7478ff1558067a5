"""Half of every condition's cells is tested, the other half is trained on."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.tasks.conditions import Index
from benchmarks.tasks.protocol import Protocol, every_condition, five_folds, start_from_controls


def half(cells: Index, generator: np.random.Generator) -> Index:
    """Draw half of the cells."""
    return generator.permutation(cells)[: len(cells) // 2]


PROTOCOL = Protocol(
    name="held_out_cells",
    summary="half of each condition's cells held out",
    order=3,
    count_folds=five_folds,
    hold_out=every_condition,
    assign=partial(start_from_controls, take=half),
)
