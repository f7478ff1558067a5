"""How the units that are left are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cli.commands.collect_command import ranges


@given(st.sets(st.integers(0, 40)))
def test_ranges_name_each_number_once(numbers: set[int]) -> None:
    found = []
    for part in filter(None, ranges(sorted(numbers)).split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    assert found == sorted(numbers)
    assert ranges([1, 2, 3, 5]) == "1-3,5"
