"""The proof: what is replaced by noise, what is asked in which order, and how the answers are judged."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.data.cell_table import read
from benchmarks.execution.proof import PROVED, prove, with_noise
from benchmarks.tasks.leakage import HiddenCells
from benchmarks.tasks.splits import split


@pytest.fixture
def hidden(grid_cells) -> HiddenCells:
    return HiddenCells(grid_cells, split(grid_cells.obs, "unseen_context", 0), "p2n")


def test_noise_takes_the_place_of_all_hidden_cells_and_no_other(hidden):
    noisy = with_noise(hidden, 0)
    before, after = hidden.cells.X.toarray(), read(noisy).X.toarray()
    np.testing.assert_array_equal(after[hidden.shown], before[hidden.shown])
    assert (after[hidden.positions] != before[hidden.positions]).any(axis=1).all()
    assert sorted(after[hidden.positions].sum(axis=1)) == sorted(before[hidden.positions].sum(axis=1))
    assert read(noisy).X.has_canonical_format
    assert list(noisy.obs_names) == list(hidden.cells.obs_names)
    own = hidden.split.conditions[0]
    shown = set(hidden.shown)
    assert set(own.perturbed_a) <= shown, "inputs of p2n"
    assert not shown & {*own.control_a, *own.control_b, *own.perturbed_b}, "its truth, its reference, inputs of n2p"
    assert set(hidden.positions) | shown == set(range(hidden.cells.n_obs))


@pytest.mark.parametrize(
    ("noisy", "again", "verdict"),
    [
        (["a", "b"], None, PROVED),
        (["a", "x"], ["a", "b"], "leak"),
        (["a", "x"], ["a", "y"], "not proved"),
        (["a", ""], None, "not proved"),
    ],
)
def test_verdicts(hidden, noisy, again, verdict):
    asked: list[tuple[bool, list]] = []

    def ask(cells, questions):
        asked.append((cells is hidden.cells, list(questions)))
        return ["noise"] * (len(questions) - 2) + noisy[::-1]

    def repeat(cells, questions):
        asked.append((cells is hidden.cells, list(questions)))
        return again

    found = prove(hidden, ("a", "b"), ("n2p", "p2n"), ask, repeat, 0)
    assert found.split(":")[0] == verdict
    first = [(0, "n2p"), (1, "n2p"), (1, "p2n"), (0, "p2n")]
    assert asked == [(False, first), (True, [(0, "p2n"), (1, "p2n")])][: 1 if again is None else 2]
