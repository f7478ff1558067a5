"""Cells on their way to the store: taken block by block in the reader's order, sorted in runs that fit in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.data.schema import OBS_COLUMNS, TEXT_COLUMNS, validate_block
from benchmarks.data.store.cell_store import SORTED_BY, spans
from benchmarks.data.store.content_hash import ContentHash
from benchmarks.data.store.make_once import need_space
from benchmarks.data.store.sparse_rows import DiskRows, FlatArray
from benchmarks.errors import DataError

RUN_BYTES = 256 << 20
"""Values and indices sorted at a time. Cells of a condition lie side by side in each run, so that they are later gathered
in as many reads as there are runs, whatever order they came in."""


class Spool:
    """Checks blocks, puts them in canonical form, hashes their values and writes them in sorted runs.

    Parameters
    ----------
    folder
        Where the temporary files go.
    dataset, space
        For the checks of `validate_block` and their messages.
    run_bytes
        Bytes of a run.
    """

    def __init__(self, folder: Path, dataset: str, space: str, run_bytes: int = RUN_BYTES) -> None:
        self.dataset, self.space, self.run_bytes = dataset, space, run_bytes
        self.genes: pd.Index | None = None
        self.content = ContentHash()
        self._paths = folder / "values", folder / "indices"
        self._files = [path.open("wb") for path in self._paths]
        self._waiting: list[tuple[sp.csr_matrix, pd.DataFrame]] = []
        self._waiting_bytes = 0
        self._obs: list[pd.DataFrame] = []
        self._written: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._n_cells = 0

    def add(self, block: AnnData) -> None:
        """Take the next cells.

        Raises
        ------
        DataError
            They are not in canonical form, or have other genes than the cells before them.
        StoreError
            The disk has no room for them.
        """
        validate_block(block, dataset=self.dataset, space=self.space)
        self._check_genes(block.var_names.astype(str))
        x = canonical_values(block.X)
        obs = canonical_obs(block.obs)
        self.content.values(x.data)
        self._obs.append(obs)
        for first, last in spans(x.indptr, self.run_bytes):
            self._waiting.append((x[first:last] if last - first < x.shape[0] else x, obs.iloc[first:last]))
            self._waiting_bytes += 8 * int(x.indptr[last] - x.indptr[first])
            if self._waiting_bytes >= self.run_bytes:
                self._write_run()

    def finish(self) -> tuple[DiskRows, np.ndarray, pd.DataFrame]:
        """Write what waits, and end.

        Returns
        -------
        rows
            The spooled values.
        written
            Row of each cell there, in the reader's order.
        obs
            Labels in the reader's order.

        Raises
        ------
        DataError
            No cell was taken.
        """
        if self.genes is None:
            raise DataError(f"{self.dataset}: the reader gave no cells.")
        self._write_run()
        self.close()
        ends = np.concatenate([[0], *self._lengths]).cumsum()
        values, indices = FlatArray(self._paths[0], np.float32), FlatArray(self._paths[1], np.int32)
        written = np.empty(self._n_cells, dtype=np.int64)
        written[np.concatenate(self._written)] = np.arange(self._n_cells)
        return DiskRows(values, indices, ends, len(self.genes)), written, pd.concat(self._obs)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _write_run(self) -> None:
        if not self._waiting:
            return
        matrices, frames = zip(*self._waiting, strict=True)
        x, obs = sp.vstack(matrices, format="csr"), pd.concat(frames)
        need_space(self._paths[0].parent, 8 * x.nnz, f"Preparing {self.dataset}")
        order = sort_order(obs)
        x = x[order]
        for file, numbers in zip(self._files, (x.data, x.indices.astype(np.int32, copy=False)), strict=True):
            file.write(np.ascontiguousarray(numbers).data)
        self._lengths.append(np.diff(x.indptr).astype(np.int64))
        self._written.append(self._n_cells + order)
        self._n_cells += len(order)
        self._waiting, self._waiting_bytes = [], 0

    def _check_genes(self, genes: pd.Index) -> None:
        if self.genes is None:
            self.genes = genes
        if not genes.equals(self.genes):
            raise DataError(
                f"{self.dataset}: blocks of cells have different genes; a reader gives the same genes in the same order."
            )


def canonical_values(x: sp.spmatrix | np.ndarray) -> sp.csr_matrix:
    """Bring values into the form that is stored: CSR, float32, indices sorted, nothing twice."""
    made = sp.csr_matrix(x, dtype=np.float32, copy=True)
    made.sum_duplicates()
    return made


def canonical_obs(obs: pd.DataFrame) -> pd.DataFrame:
    """Keep the canonical columns and nothing else: no upstream statistic travels with the cells."""
    kept = obs[list(OBS_COLUMNS)].astype({**dict.fromkeys(TEXT_COLUMNS, str), "dose": np.float64})
    return kept.set_axis(obs.index.astype(str), axis=0)


def sort_order(obs: pd.DataFrame) -> np.ndarray:
    """Order cells by `SORTED_BY`, missing doses last; ties keep their order."""
    keys = []
    for column in SORTED_BY:
        codes = pd.factorize(obs[column], sort=True)[0].astype(np.int64)
        keys.append(np.where(codes < 0, len(obs), codes))
    return np.lexsort(keys[::-1])
