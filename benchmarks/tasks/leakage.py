"""The leakage audit: checks before every training what `fit` will receive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from anndata import AnnData

from benchmarks.contract import Direction, Prediction, Query
from benchmarks.data.cell_table import CellTable
from benchmarks.data.row_hashes import row_hashes, table_hashes
from benchmarks.data.schema import OBS_COLUMNS
from benchmarks.errors import LeakageError
from benchmarks.tasks.batch_correction.combat import digest_of
from benchmarks.tasks.conditions import Index, all_of
from benchmarks.tasks.protocol import find_protocol
from benchmarks.tasks.splits import Split

MIN_GENES_DETECTED = 20
"""Cells with fewer detected genes may be equal by chance and are not compared by content."""
MEAN_TOLERANCE = 1e-5
"""Mean profiles nearer than this in every gene are the same: rounding of float32, far below the noise of any cells."""


@dataclass(frozen=True, eq=False)
class HiddenCells:
    """The cells of a fold that no model may see before it has answered the questions of one direction."""

    cells: CellTable
    split: Split
    direction: Direction
    known_prints: np.ndarray | None = None
    """`fingerprints` of all cells, where they are known."""

    @cached_property
    def shown(self) -> Index:
        """Positions of training cells and of all inputs of the direction."""
        return np.unique(np.concatenate([self.split.train, *(c.input(self.direction) for c in self.split.conditions)]))

    @cached_property
    def positions(self) -> Index:
        """Positions of all other cells, those of no role in the fold too."""
        return np.setdiff1d(np.arange(len(self.cells.obs)), self.shown)

    @cached_property
    def _prints(self) -> np.ndarray:
        """Fingerprints of the hidden cells that no shown cell has, sorted."""
        prints = fingerprints(self.cells) if self.known_prints is None else self.known_prints
        return np.setdiff1d(prints[self.positions], np.append(prints[self.shown], np.uint64(0)))

    def found_in(self, prediction: Prediction, truth: np.ndarray, start: np.ndarray) -> tuple[int, str]:
        """Count rows that are hidden cells; the text says what gives a prediction away, "" if nothing does.

        `truth` and `start` are the mean profiles of the condition's true cells and of its input [gene].
        """
        rows = prediction.values
        known, own = self._prints, row_hashes(rows, MIN_GENES_DETECTED)
        place = np.searchsorted(known, own)
        copied = int((known[place[place < len(known)]] == own[place < len(known)]).sum())
        if copied:
            return copied, f"{copied} of {len(prediction)} predicted rows are hidden cells"
        off, moved = (np.abs(profile - truth).max() for profile in (prediction.mean(), start))
        if off <= MEAN_TOLERANCE < moved:
            return len(prediction), "the predicted mean is the mean of the hidden cells"
        return 0, ""


def fingerprints(cells: CellTable) -> np.ndarray:
    """Hash the values of each cell, uint64 [cell]; 0 with fewer than `MIN_GENES_DETECTED` genes."""
    return table_hashes(cells, least=MIN_GENES_DETECTED)


def audit_train(
    train: CellTable, split: Split, cells: CellTable, *, prints: tuple[np.ndarray, np.ndarray] | None = None
) -> str:
    """Check training cells, as `fit` will get them, against the fold and all cells of the data set in the same space.

    Finds test cells by name and by content, held-out conditions, and fields that could carry a statistic of all cells;
    `prints` are the `fingerprints` of `train` and of `cells`, where they are known. Returns "clean", or "leaky: …" with the
    findings for a protocol that is leaky by design; raises `LeakageError` for any other.
    """
    findings = [
        *_shared_cells(train, split, cells, prints),
        *_held_out(train, split),
        *_extras(train, "training cells"),
    ]
    if not findings:
        return "clean"
    if split.leaky:
        return f"leaky: {'; '.join(findings)}"
    raise LeakageError(f"Leakage in {split.protocol}, fold {split.fold}: {'; '.join(findings)}. Nothing was trained.")


def audit_parameters(cells_digest: str, split: Split, cells: CellTable) -> None:
    """Raise `LeakageError` unless parameters of a batch correction are from exactly the fold's training cells.

    `cells_digest` is the hash of the cells they were estimated from (`combat.digest_of`); `cells` are all of the data set.
    """
    if cells_digest != digest_of(cells.obs.index[split.train]):
        raise LeakageError(
            f"Leakage in {split.protocol}, fold {split.fold}: the batch effects were estimated from "
            f"{cells_digest.split(':')[0]} cells that are not the {len(split.train)} training cells. Delete the run's "
            "folder 'integration' and run again."
        )


def audit_query(query: Query, truth_names: pd.Index) -> None:
    """Check that a query contains no truth cells and no reference to them; raises `LeakageError`."""
    findings = _extras(query.cells, "input cells")
    overlap = int(query.cells.obs_names.isin(truth_names).sum())
    if overlap:
        findings.append(f"{overlap} truth or reference cells among the input")
    if findings:
        raise LeakageError(f"Query ({query.context}, {query.perturbation}, {query.direction}): {'; '.join(findings)}.")


def _shared_cells(
    train: CellTable, split: Split, cells: CellTable, prints: tuple[np.ndarray, np.ndarray] | None
) -> list[str]:
    test = split.tested
    by_name = cells.obs.index[test].isin(train.obs.index).sum()
    if by_name:
        return [f"{by_name} of {len(test)} test cells are training cells"]
    own, every = (fingerprints(train), fingerprints(cells)) if prints is None else prints
    by_content = np.setdiff1d(np.intersect1d(own, every[test]), [0])
    return [f"{len(by_content)} test cells are training cells under another name"] if len(by_content) else []


def _held_out(train: CellTable, split: Split) -> list[str]:
    found = all_of(train.obs[["context", "perturbation", "dose"]].drop_duplicates())
    gives_away = find_protocol(split.protocol).gives_away or (lambda trained, tested: False)
    tested = [c.condition for c in split.conditions]
    seen = [c for c in found if c in split.held_out or any(gives_away(c, t) for t in tested)]
    return [f"held-out condition {min(map(str, seen))} and {len(seen) - 1} more in training"] if seen else []


def _extras(cells: CellTable, what: str) -> list[str]:
    """List fields other than X, names and canonical obs: they could be computed from test cells."""
    found = [f"{what} carry obs['{c}']" for c in cells.obs.columns if c not in OBS_COLUMNS]
    if not isinstance(cells, AnnData):
        return found
    found += [
        f"{what} carry {field}['{key}']"
        for field in ("uns", "obsm", "varm", "layers", "obsp", "varp")
        for key in getattr(cells, field)
        if key is not None  # anndata 0.13 lists X itself as layer None
    ]
    found += [f"{what} carry var['{c}']" for c in cells.var.columns]
    found += [f"{what} carry raw"] * (cells.raw is not None)
    return found + [f"{what} are a view of all cells"] * cells.is_view
