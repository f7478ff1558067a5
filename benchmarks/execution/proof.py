"""The proof that a model's predictions do not depend on cells that are hidden from it, or on what it was asked before.

1. Every cell that is neither a training cell nor an input of the direction is replaced by noise.
2. The model is trained in a new process, with the same seed.
3. It is asked the questions of the other direction first, whose inputs are noise now, and those of this one in reverse.
4. Its predictions must equal the stored ones to the bit.
5. If not, it is trained and asked once more with the true cells and in the first order. Equal: a leak. Not equal: it does
   not repeat itself, and nothing is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp

from benchmarks.contract import Direction
from benchmarks.data.cell_table import CellTable, View
from benchmarks.seeds import derive
from benchmarks.tasks.leakage import HiddenCells

LEAK, NOT_PROVED, PROVED = "leak: ", "not proved: ", "proved"
Ask = Callable[[CellTable, Sequence[tuple[int, Direction]]], Sequence[str]]
"""(cells, questions) → digest of each prediction, "" where there is none. A question is the number of a condition, and a
direction. The cells are all of the data set; a new process is trained on the training cells among them, and asked."""


def prove(
    hidden: HiddenCells, stored: Sequence[str], others: Sequence[Direction], ask: Ask, repeat: Ask, seed: int
) -> str:
    """Return "proved", "leak: …" or "not proved: …" for one direction of a model.

    Parameters
    ----------
    stored
        Digest of the prediction of each condition.
    others
        Directions that the model is asked about too.
    ask, repeat
        Ask a new process; `repeat` does it as the stored predictions were made.
    """
    own, numbers = hidden.direction, range(len(stored))
    before = [(number, direction) for direction in others if direction != own for number in numbers]
    answers = ask(with_noise(hidden, seed), [*before, *((number, own) for number in reversed(numbers))])
    pairs = list(zip(list(answers[len(before) :])[::-1], stored, strict=True))
    if all(answer == kept for answer, kept in pairs):
        return PROVED
    if all(answer == kept for answer, kept in pairs if answer and kept):
        missing = sum(answer != kept for answer, kept in pairs)
        return f"{NOT_PROVED}{missing} of {len(pairs)} questions have an answer in only one of two trainings"
    if list(repeat(hidden.cells, [(number, own) for number in numbers])) == list(stored):
        return f"{LEAK}predictions change with hidden cells or with the order of the questions"
    return f"{NOT_PROVED}two trainings with one seed differ"


def with_noise(hidden: HiddenCells, seed: int) -> View:
    """Replace the hidden cells: each gets the values of another hidden cell, on other genes."""
    cells, where = hidden.cells, hidden.positions
    generator = np.random.default_rng(derive(seed, "noise"))
    source, is_hidden = np.arange(len(cells.obs)), np.zeros(len(cells.obs), dtype=bool)
    source[where], is_hidden[where] = generator.permutation(where), True
    genes = generator.permutation(len(cells.var_names))

    def exchanged(x: sp.csr_matrix, positions: np.ndarray) -> sp.csr_matrix:
        of_hidden = np.repeat(is_hidden[positions], np.diff(x.indptr))
        x.indices[of_hidden] = genes[x.indices[of_hidden]]
        x.has_sorted_indices = False
        x.sort_indices()
        return x

    return View(cells, cells.obs, source, change=exchanged)
