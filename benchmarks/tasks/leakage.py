"""The leakage audit: checks before every training what `fit` will receive."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import Direction, Prediction, Query
from benchmarks.data.schema import OBS_COLUMNS
from benchmarks.errors import LeakageError
from benchmarks.tasks.batch_correction.combat import digest_of
from benchmarks.tasks.conditions import Index, TestCondition, all_of
from benchmarks.tasks.protocol import find_protocol
from benchmarks.tasks.splits import Split

MIN_GENES_DETECTED = 20
"""Cells with fewer detected genes may be equal by chance and are not compared by content."""
BLOCK = 4096
"""Cells compared at a time."""
MEAN_TOLERANCE = 1e-5
"""Mean profiles nearer than this in every gene are the same: rounding of float32, far below the noise of any cells."""


@dataclass(frozen=True)
class HiddenCells:
    """The cells of a fold that no model may see before it has answered the questions of one direction."""

    cells: AnnData
    split: Split
    direction: Direction

    @cached_property
    def shown(self) -> Index:
        """Positions of training cells and of all inputs of the direction."""
        return np.unique(np.concatenate([self.split.train, *(c.input(self.direction) for c in self.split.conditions)]))

    @cached_property
    def positions(self) -> Index:
        """Positions of all other cells, those of no role in the fold too."""
        return np.setdiff1d(np.arange(self.cells.n_obs), self.shown)

    @cached_property
    def _prints(self) -> set[bytes]:
        hidden, shown = (
            set[bytes]().union(
                *(_fingerprints(self.cells.X[part]) for part in np.array_split(where, len(where) // BLOCK + 1))
            )
            for where in (self.positions, self.shown)
        )
        return hidden - shown

    def found_in(self, prediction: Prediction, condition: TestCondition) -> tuple[int, str]:
        """Count rows that are hidden cells; the text says what gives a prediction away, "" if nothing does."""
        rows = prediction.values
        copied = sum(print_ in self._prints for print_ in _fingerprints_of_each(sp.csr_matrix(rows)))
        if copied:
            return copied, f"{copied} of {len(rows)} predicted rows are hidden cells"
        truth, start = (
            np.asarray(self.cells.X[positions].mean(axis=0, dtype=np.float64)).ravel()
            for positions in (condition.truth(self.direction), condition.input(self.direction))
        )
        off, moved = (np.abs(profile - truth).max() for profile in (prediction.mean(), start))
        if off <= MEAN_TOLERANCE < moved:
            return len(rows), "the predicted mean is the mean of the hidden cells"
        return 0, ""


def audit_train(train: AnnData, split: Split, cells: AnnData) -> str:
    """Check training cells, as `fit` will get them, against the fold and all cells of the data set in the same space.

    Finds test cells by name and by content, held-out conditions, and fields that could carry a statistic of all cells. Returns
    "clean", or "leaky: …" with the findings for a protocol that is leaky by design; raises `LeakageError` for any other.
    """
    findings = [*_shared_cells(train, split, cells), *_held_out(train, split), *_extras(train, "training cells")]
    if not findings:
        return "clean"
    if split.leaky:
        return f"leaky: {'; '.join(findings)}"
    raise LeakageError(f"Leakage in {split.protocol}, fold {split.fold}: {'; '.join(findings)}. Nothing was trained.")


def audit_parameters(cells_digest: str, split: Split, cells: AnnData) -> None:
    """Raise `LeakageError` unless parameters of a batch correction are from exactly the fold's training cells.

    `cells_digest` is the hash of the cells they were estimated from (`combat.digest_of`); `cells` are all of the data set.
    """
    if cells_digest != digest_of(cells.obs_names[split.train]):
        raise LeakageError(
            f"Leakage in {split.protocol}, fold {split.fold}: the batch effects were estimated from "
            f"{cells_digest.split(':')[0]} cells that are not the {len(split.train)} training cells. Delete the run's "
            "folder 'integration' and run again."
        )


def audit_query(query: Query, truth_names: set[str]) -> None:
    """Check that a query contains no truth cells and no reference to them; raises `LeakageError`."""
    findings = _extras(query.cells, "input cells")
    overlap = truth_names.intersection(query.cells.obs_names)
    if overlap:
        findings.append(f"{len(overlap)} truth or reference cells among the input")
    if findings:
        raise LeakageError(f"Query ({query.context}, {query.perturbation}, {query.direction}): {'; '.join(findings)}.")


def _shared_cells(train: AnnData, split: Split, cells: AnnData) -> list[str]:
    test = split.tested
    by_name = set(train.obs_names).intersection(cells.obs_names[test])
    if by_name:
        return [f"{len(by_name)} of {len(test)} test cells are training cells"]
    by_content = _fingerprints(train.X) & _fingerprints(cells.X[test])
    return [f"{len(by_content)} test cells are training cells under another name"] if by_content else []


def _fingerprints(x: sp.csr_matrix) -> set[bytes]:
    """Hash the expression of each cell with at least `MIN_GENES_DETECTED` genes."""
    return set(_fingerprints_of_each(x)) - {b""}


def _fingerprints_of_each(x: sp.csr_matrix) -> list[bytes]:
    """Hash the expression of each cell, whatever the order of its entries; b"" with fewer than `MIN_GENES_DETECTED` genes."""
    x = sp.csr_matrix(x, dtype=np.float32, copy=True)
    x.sum_duplicates()
    x.eliminate_zeros()
    indices = x.indices.astype(np.int64)
    return [
        hashlib.blake2b(indices[start:stop].tobytes() + x.data[start:stop].tobytes(), digest_size=16).digest()
        if stop - start >= MIN_GENES_DETECTED
        else b""
        for start, stop in zip(x.indptr[:-1], x.indptr[1:], strict=True)
    ]


def _held_out(train: AnnData, split: Split) -> list[str]:
    found = all_of(train.obs[["context", "perturbation", "dose"]].drop_duplicates())
    gives_away = find_protocol(split.protocol).gives_away or (lambda trained, tested: False)
    tested = [c.condition for c in split.conditions]
    seen = [c for c in found if c in split.held_out or any(gives_away(c, t) for t in tested)]
    return [f"held-out condition {min(map(str, seen))} and {len(seen) - 1} more in training"] if seen else []


def _extras(cells: AnnData, what: str) -> list[str]:
    """List fields other than X, names and canonical obs: they could be computed from test cells."""
    found = [
        f"{what} carry {field}['{key}']"
        for field in ("uns", "obsm", "varm", "layers", "obsp", "varp")
        for key in getattr(cells, field)
        if key is not None  # anndata 0.13 lists X itself as layer None
    ]
    found += [f"{what} carry var['{c}']" for c in cells.var.columns]
    found += [f"{what} carry obs['{c}']" for c in cells.obs.columns if c not in OBS_COLUMNS]
    found += [f"{what} carry raw"] * (cells.raw is not None)
    return found + [f"{what} are a view of all cells"] * cells.is_view
