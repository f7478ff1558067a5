"""What scoring knows of sets of cells: means, sorted values, tests. Each set is read once, and what was used last is kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from benchmarks.data.cell_table import CellTable
from benchmarks.scoring.metrics.copying import HALVES, MarginSums, margin_sums
from benchmarks.scoring.metrics.differential import Tests, linear_mean, test_genes
from benchmarks.scoring.metrics.rank_sum import Cells, SortedCells, sort_cells
from benchmarks.scoring.training_summary import TrainingSummary

T = TypeVar("T")
RECENT = 512 << 20
"""Bytes that a `Recent` keeps."""
TESTED = 64 << 20
"""Bytes of cells that were tested last, to know them again."""


class ReferenceCells(NamedTuple):
    """A set of cells that others are tested against."""

    profile: np.ndarray
    """Mean profile [gene]."""
    linear_mean: np.ndarray
    """Mean linear values [gene], or the mean profile in a space without linear values."""
    ordered: SortedCells


class TrueCells(NamedTuple):
    """A set of true cells, as far as conditions that share it share what is known of them."""

    profile: np.ndarray
    """Mean profile [gene]."""
    linear_mean: np.ndarray
    """Mean linear values [gene], or the mean profile in a space without linear values."""
    ordered: SortedCells
    projected: np.ndarray | None
    """Cells in principal components [cell, component], perturbed genes included; None without training cells."""
    own: Cells
    """Values of the perturbed genes of all conditions [cell, gene of `CellSets.perturbed`]."""


class CellSets:
    """What scoring computes of sets of cells, from their positions [cell]; what was used last is kept (see `Recent`)."""

    def __init__(
        self,
        cells: CellTable,
        own_gene: np.ndarray,
        training: TrainingSummary | None,
        *,
        linear: bool,
        recent: Recent | None = None,
    ) -> None:
        self.cells, self.linear, self.training = cells, linear, training
        self.perturbed = np.unique(own_gene[own_gene >= 0])
        self.recent, self.tested = recent or Recent(), Recent(TESTED)

    def mean(self, positions: np.ndarray) -> np.ndarray:
        """Mean profile [gene]."""
        return self.recent.get((self, "mean", positions.tobytes()), lambda: mean_profile(take(self.cells, positions)))

    def ordered(self, positions: np.ndarray) -> SortedCells:
        """Sort every gene's values."""
        return self.recent.get((self, "ordered", positions.tobytes()), lambda: sort_cells(take(self.cells, positions)))

    def reference(self, positions: np.ndarray) -> ReferenceCells:
        """Summarise reference cells, read once."""
        key = self, "reference", positions.tobytes()
        return self.recent.get(key, lambda: self._summarised(take(self.cells, positions)))

    def tests(self, cells: SortedCells, mean: np.ndarray, reference: np.ndarray) -> Tests:
        """Test every gene of some cells, with their `linear_mean`, against the cells at the positions of a reference.

        A model that predicts the same cells for many conditions is tested once.
        """

        def test() -> tuple[SortedCells, Tests]:
            other = self.reference(reference)
            found = test_genes(cells, other.ordered, mean, other.linear_mean, linear=self.linear)
            return cells, found  # the cells too, so that no others can have their `id`

        return self.tested.get((id(cells), reference.tobytes()), test)[1]

    def true(self, positions: np.ndarray) -> TrueCells:
        """Summarise true cells, read once."""
        return self.recent.get((self, "true", positions.tobytes()), lambda: self._true(positions))

    def margin_sums(self, positions: np.ndarray, generator: np.random.Generator) -> MarginSums:
        """Halve true cells for the copy margin; the generator is the same wherever the positions are."""
        if len(positions) <= HALVES:  # few cells: quickly done, and larger than the cells themselves
            return margin_sums(take(self.cells, positions), generator)
        key = self, "margin", positions.tobytes()
        return self.recent.get(key, lambda: margin_sums(take(self.cells, positions), generator))

    def _summarised(self, cells: Cells) -> ReferenceCells:
        ordered, profile = sort_cells(cells), mean_profile(cells)
        return ReferenceCells(profile, linear_mean(ordered) if self.linear else profile, ordered)

    def _true(self, positions: np.ndarray) -> TrueCells:
        cells = take(self.cells, positions)
        return TrueCells(
            *self._summarised(cells),
            projected=self.training.components.transform(cells) if self.training else None,
            own=cells[:, self.perturbed],
        )


class Recent:
    """Values that are computed once and kept while they are used: those used last, up to so many bytes of their arrays.

    Several threads may ask; one that asks for what another is computing waits for it.
    """

    def __init__(self, most: int = RECENT) -> None:
        self.most, self.size = most, 0
        self._known: OrderedDict[Hashable, Any] = OrderedDict()
        self._working: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of a key, computed where it is not kept."""
        with self._lock:
            own = self._working.setdefault(key, Lock())
        with own:
            with self._lock:
                if key in self._known:
                    self._known.move_to_end(key)
                    return self._known[key]
            value = compute()
            with self._lock:
                self._known[key] = value
                self.size += _bytes_of(value)
                while self.size > self.most and len(self._known) > 1:
                    self.size -= _bytes_of(self._known.popitem(last=False)[1])
                self._working.pop(key, None)
            return value


def _bytes_of(value: Any) -> int:
    """Bytes of the arrays in a value."""
    if isinstance(value, tuple):
        return sum(_bytes_of(part) for part in value)
    if sp.issparse(value):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    return value.nbytes if isinstance(value, np.ndarray) else 0


def take(cells: CellTable, positions: np.ndarray) -> Cells:
    """Read the rows of some cells, sparse as CSR, else dense; positions ascend, as files on disk want them."""
    rows = cells.X[positions]
    return sp.csr_matrix(rows) if sp.issparse(rows) else np.asarray(rows)


def mean_profile(cells: Cells) -> np.ndarray:
    """Mean over cells [gene], in float64."""
    return np.asarray(cells.astype(np.float64).mean(axis=0)).ravel()
