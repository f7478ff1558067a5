"""What scoring knows of sets of cells: means, sorted values, tests. Each set is read once, and what was used last is kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, is_dataclass
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp

from benchmarks.data.cell_table import CellTable
from benchmarks.scoring.metrics.copying import HALVES, MarginSums, margin_sums
from benchmarks.scoring.metrics.differential import Tests, change_of, linear_mean, test_genes
from benchmarks.scoring.metrics.rank_sum import Cells, LoosePool, Pool, SortedCells, make_pool, sort_cells
from benchmarks.scoring.training_summary import TrainingSummary

T = TypeVar("T")
RECENT = 512 << 20
"""Bytes that a `Recent` keeps."""
TESTED = 64 << 20
"""Bytes of cells that were tested last, to know them again, and of parts of true cells that were picked last."""
POOLED = 1_024
"""Most cells of a set whose parts are picked from a pool."""


class Tested(Protocol):
    """Cells that can be tested."""

    @property
    def ordered(self) -> SortedCells:
        """The cells, sorted."""

    @property
    def linear_mean(self) -> np.ndarray:
        """Mean linear values [gene], or the mean profile in a space without linear values."""

    @property
    def picked(self) -> Picked | None:
        """Where the cells were picked from, if they were."""


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
    picked: Picked | None = None
    """Where the cells were picked from, if they were."""


class Picked(NamedTuple):
    """Which cells of a pool a set has, in its order."""

    pool: Pool | LoosePool
    rows: np.ndarray


@dataclass(frozen=True)
class CellPool:
    """Cells that sets are picked from, read once."""

    cells: Cells
    pool: Pool | LoosePool
    projected: np.ndarray | None
    """Cells in principal components [cell, component], perturbed genes included; None without training cells."""
    own: Cells
    """Values of the perturbed genes of all conditions [cell, gene of `CellSets.perturbed`]."""
    linear: bool
    """Whether values are log2(x + 1) of linear ones."""

    def pick(self, rows: np.ndarray, mean: Callable[[Cells], np.ndarray] | None = None) -> TrueCells:
        """Summarise the cells in some rows, none of them twice; `mean` is how their mean profile is taken."""
        ordered, profile = self.pool.pick(rows), (mean or mean_profile)(self.cells[rows])
        projected = None if self.projected is None else self.projected[rows]
        linear = linear_mean(ordered) if self.linear else profile
        return TrueCells(profile, linear, ordered, projected, self.own[rows], Picked(self.pool, rows))


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
        references: CellSets | None = None,
    ) -> None:
        """`references` are of the table that reference cells are in; default: this one."""
        self.references = references or self
        self.cells, self.linear, self.training = cells, linear, training
        self.perturbed = np.unique(own_gene[own_gene >= 0])
        self.recent, self.tested, self.parts = recent or Recent(), Recent(TESTED), Recent(TESTED)

    def mean(self, positions: np.ndarray) -> np.ndarray:
        """Mean profile [gene]."""
        return self.recent.get((self, "mean", positions.tobytes()), lambda: mean_profile(take(self.cells, positions)))

    def ordered(self, positions: np.ndarray) -> SortedCells:
        """Sort every gene's values."""
        return self.recent.get((self, "ordered", positions.tobytes()), lambda: sort_cells(take(self.cells, positions)))

    def some(self, cells: TrueCells, positions: np.ndarray, rows: np.ndarray) -> SortedCells:
        """Sort those of a set of cells, at the positions given, that are in some of its rows."""
        if len(rows) == len(positions):
            return cells.ordered
        return (
            cells.picked.pool.pick(cells.picked.rows[rows]) if cells.picked else self.ordered(np.sort(positions[rows]))
        )

    def reference(self, positions: np.ndarray) -> ReferenceCells:
        """Summarise reference cells, read once."""
        key = self, "reference", positions.tobytes()
        return self.recent.get(key, lambda: self._summarised(take(self.cells, positions)))

    def tests(self, cells: Tested, reference: np.ndarray) -> Tests:
        """Test every gene of some cells against those at the positions of a reference; a picked set against its pool's.

        A model that predicts the same cells for many conditions is tested once.
        """

        def test() -> tuple[SortedCells, Tests]:
            other = self.reference(reference)
            if cells.picked is None or isinstance(cells.picked.pool, LoosePool):
                found = test_genes(
                    cells.ordered, other.ordered, cells.linear_mean, other.linear_mean, linear=self.linear
                )
            else:
                change = change_of(cells.linear_mean, other.linear_mean, linear=self.linear)
                found = Tests(cells.picked.pool.rank_sum(cells.picked.rows), change)
            return cells.ordered, found  # the cells too, so that no others can have their `id`

        return self.tested.get((id(cells.ordered), reference.tobytes()), test)[1]

    def true(self, positions: np.ndarray) -> TrueCells:
        """Summarise true cells, read once."""
        return self.recent.get((self, "true", positions.tobytes()), lambda: self._true(positions))

    def part(self, within: np.ndarray, positions: np.ndarray, reference: np.ndarray) -> TrueCells:
        """Summarise some or all of a condition's true cells, which are tested against the reference given; positions ascend.

        Of few cells many parts are picked from one pool; a large set is shared by conditions, and so are its parts.
        """
        if len(positions) == len(within) or len(within) > POOLED:
            return self.true(positions)
        key = self, within.tobytes(), reference.tobytes()
        return self.parts.get(
            ("part", positions.tobytes(), *key),
            lambda: self._pool(key, within, reference).pick(np.searchsorted(within, positions)),
        )

    def shared(self, positions: np.ndarray, reference: np.ndarray) -> TrueCells:
        """Summarise a set of cells that conditions share, which may each take some of them (`some`)."""
        if len(positions) > POOLED:
            return self.true(positions)
        key = self, positions.tobytes(), reference.tobytes()
        return self.recent.get(
            ("shared", *key), lambda: self._pool(key, positions, reference).pick(np.arange(len(positions)))
        )

    def _pool(self, key: tuple[Hashable, ...], positions: np.ndarray, reference: np.ndarray) -> CellPool:
        return self.recent.get(("pool", *key), lambda: self.pool(take(self.cells, positions), reference))

    def pool(self, cells: Cells, reference: np.ndarray) -> CellPool:
        """Make a pool of some cells, whose sets are tested against those at the positions of a reference."""
        sorted_cells = make_pool(cells, self.references.reference(reference).ordered)
        return CellPool(cells, sorted_cells, *self._projected(cells), self.linear)

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
        return TrueCells(*self._summarised(cells), *self._projected(cells))

    def _projected(self, cells: Cells) -> tuple[np.ndarray | None, Cells]:
        """Cells in principal components, and the values of the perturbed genes."""
        projected = self.training.components.transform(cells) if self.training else None
        return projected, cells[:, self.perturbed]


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
    """Bytes of the arrays in a value; a pool that cells were picked from is counted where it is kept itself."""
    if isinstance(value, Picked):
        return value.rows.nbytes
    if isinstance(value, tuple):
        return sum(_bytes_of(part) for part in value)
    if is_dataclass(value):
        return sum(_bytes_of(part) for part in vars(value).values())
    if sp.issparse(value):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    return value.nbytes if isinstance(value, np.ndarray) else 0


def take(cells: CellTable, positions: np.ndarray) -> Cells:
    """Read the rows of some cells, sparse as CSR, else dense; positions ascend, as files on disk want them."""
    rows = cells.X[positions]
    return sp.csr_matrix(rows) if sp.issparse(rows) else np.asarray(rows)


def mean_profile(cells: Cells) -> np.ndarray:
    """Mean over cells [gene], in float64."""
    if (
        sp.issparse(cells) and cells.format == "csr"
    ):  # the sum that SciPy takes, without the matrices it makes on the way
        return np.bincount(cells.indices, cells.data.astype(np.float64) * (1.0 / cells.shape[0]), cells.shape[1])
    return np.asarray(cells.astype(np.float64).mean(axis=0)).ravel()
