from __future__ import annotations

import pandas as pd
import pytest

from tests.bench.peers import targets
from tests.bench.targets import Row, table


@pytest.mark.parametrize(
    ("row", "target", "reached"),
    [
        (Row("a", "s", [3.0, 1.0, 2.0], at_most=2), "≤ 2", "yes"),
        (Row("a", "s", [3.0, 1.0, 2.5], at_most=2), "≤ 2", "no"),
        (Row("a", "%", [75.0], at_least=75), "≥ 75", "yes"),
        (Row("a", "s", [1.0]), "", ""),
        (Row("a", "s", [], at_most=2, why_none="not installed"), "≤ 2", ""),
    ],
)
def test_a_row_has_its_target_and_whether_it_is_reached(row, target, reached):
    assert (row.target, row.reached) == (target, reached)
    assert table([row]).loc[0, ["target", "reached", "repeats"]].tolist() == [target, reached, len(row.values)]


def test_ratios_are_of_the_same_round():
    runs = pd.DataFrame(
        [
            {"case": "A", "repeat": repeat, "scorer": scorer, "ended": "ok", "wall_s": wall, "peak_bytes": peak}
            for scorer, walls, peak in (("ours", (1.0, 2.0), 1.0), ("cell_eval", (11.0, 24.0), 4.0))
            for repeat, wall in enumerate(walls)
        ]
    )
    runs.loc[len(runs)] = {"case": "A", "repeat": 0, "scorer": "cell_eval2", "ended": "failed"}
    time, memory = targets(runs)
    assert (time.values, time.at_least, time.reached) == ([11.0, 12.0], 10, "yes")
    assert (memory.values, memory.reached) == ([0.25, 0.25], "")
