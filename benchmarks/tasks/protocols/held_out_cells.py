"""Half of every condition's cells is tested, the other half is trained on."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.tasks.conditions import Index
from benchmarks.tasks.protocol import Protocol, start_from_controls


def half(cells: Index, generator: np.random.Generator) -> Index:
    """Draw half of the cells."""
    return generator.permutation(cells)[: len(cells) // 2]


PROTOCOL = Protocol(
    name="held_out_cells",
    summary="half of each condition's cells held out",
    order=3,
    assign=partial(start_from_controls, take=half),
)
