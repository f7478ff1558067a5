"""Half of every condition's cells is tested, the other half is trained on."""

from __future__ import annotations

from functools import partial

from benchmarks.tasks.protocol import Protocol, start_from_controls

PROTOCOL = Protocol(
    name="held_out_cells",
    summary="half of each condition's cells held out",
    order=3,
    assign=partial(start_from_controls, take=lambda cells, generator: generator.permutation(cells)[: len(cells) // 2]),
)
