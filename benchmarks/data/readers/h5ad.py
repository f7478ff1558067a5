"""Any h5ad → canonical cells, read from disk block by block: dense, CSR or CSC, of any AnnData version."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData, read_h5ad
from anndata.io import read_elem, sparse_dataset

from benchmarks.contract import CONTROL
from benchmarks.data.readers.blocks import CELLS_PER_BLOCK, Grid, canonical_blocks, csr_blocks, make_entries
from benchmarks.data.readers.gene_columns import GeneMap, map_genes, share
from benchmarks.data.readers.labels import (
    Labelling,
    as_text,
    canonical_obs,
    name_perturbations,
    parse_doses,
    tell_missing,
)
from benchmarks.data.readers.text_tables import check_columns, readable
from benchmarks.data.schema import Reading, Space, tell_space
from benchmarks.errors import DataError

BLOCK_BYTES = 16 << 20
"""Size of a dense block as it is read; turning it into CSR takes up to five times as much for a moment."""
ENTRIES_PER_READ = 1 << 21
INDEX = "index"
"""Where a key names a column, this names the index of the table."""


@dataclass(frozen=True)
class Keys:
    """Where the labels are in an h5ad, and how they are written; columns are of obs unless said otherwise."""

    perturbation: str
    context: str = ""
    """Column; empty: all cells are of context `context_name`."""
    context_name: str = "all"
    batch: str = ""
    """Column; empty: one batch."""
    prefix: str = ""
    """Put before every batch and every cell's name, to keep those of several files apart."""
    arm: str = ""
    arm_unit: str = ""
    """Put behind every arm: "h" for hours."""
    dose: str = ""
    dose_unit: str = "nM"
    """Of doses that name none."""
    genes: str = INDEX
    """Column of var with the genes' symbols."""
    gene_ids: str = ""
    """Column of var with Ensembl ids, where there is one."""
    id_prefix: str = ""
    """Keep only genes whose id begins so: "ENSG" where cells of another species were sequenced along."""
    labelling: Labelling = field(default_factory=Labelling)
    layer: str = "X"
    """"X", "raw", or a name in layers."""


@dataclass(frozen=True)
class H5ad:
    """An h5ad whose labels and gene names have been read."""

    path: Path
    layer: str
    positions: np.ndarray
    """Rows of the file that are used, increasing, int [cell]."""
    obs: pd.DataFrame
    """Their canonical labels."""
    genes: GeneMap


def read_h5ads(files: Mapping[str, Path], keys: Mapping[str, Keys], space: str = "counts") -> Reading:
    """Read h5ad files one after another, with the genes that all of them have; no matrix is ever whole in memory.

    `keys` say where the labels of each of `files` are, `space` what the values are.

    Raises
    ------
    DataError
        No h5ad, a column that is missing or there twice, labels or values that are not usable.
    """
    notes: list[str] = []
    opened = [open_h5ad(path, keys[key], space, notes) for key, path in files.items()]
    return Reading(_cells(opened, space, notes), notes=notes)


def _cells(opened: list[H5ad], space: str, notes: list[str]) -> Iterator[AnnData]:
    for h5ad, genes in zip(opened, share([h5ad.genes for h5ad in opened], notes), strict=True):
        yield from canonical_blocks(matrix_blocks(h5ad), h5ad.obs, genes, str(h5ad.path), space, notes)


def open_h5ad(path: Path, keys: Keys, space: str, notes: list[str]) -> H5ad:
    """Read the labels and gene names; raises as `read_h5ads`."""
    with _opened(path) as handle:
        obs, var = _frame(handle, "obs", path), _frame(handle, "raw/var" if keys.layer == "raw" else "var", path)
        shape = _matrix(handle, keys.layer, path).shape
    if shape != (len(obs), len(var)):
        turned = " It is transposed: expected cell × gene." if shape == (len(var), len(obs)) else ""
        raise DataError(f"{path}: {keys.layer} is {shape}, but obs × var is {(len(obs), len(var))}.{turned}")
    labels = _perturbations(obs, keys, str(path), notes)
    positions = np.flatnonzero(labels.notna().to_numpy())
    labels.index = keys.prefix + labels.index.astype(str)
    if len(positions) < len(labels):
        notes.append(
            f"{path.name}: {len(labels) - len(positions)} of {len(labels)} cells have no perturbation label and are left out."
        )
    kept, labels = obs.iloc[positions], labels.iloc[positions]
    dose = None
    if keys.dose:  # what a control's dose field holds is of no interest
        doses = kept[keys.dose].astype("string").mask((labels == CONTROL).to_numpy())
        dose = parse_doses(doses, str(path), keys.dose_unit)
    made = canonical_obs(
        str(path),
        labels,
        context=kept[keys.context] if keys.context else keys.context_name,
        batch=keys.prefix + as_text(kept[keys.batch]) if keys.batch else path.stem,
        arm=as_text(kept[keys.arm]) + keys.arm_unit if keys.arm else "none",
        dose=dose,
    )
    ids = _column(var, keys.gene_ids, path) if keys.gene_ids else []
    genes = map_genes(_column(var, keys.genes, path), path.name, ids, summed=space == "counts", notes=notes)
    if keys.id_prefix:
        genes = genes.only(np.array([i.startswith(keys.id_prefix) for i in ids], dtype=bool))
    opened = H5ad(path, keys.layer, positions, made, genes)
    return _without_gaps(opened, notes) if space == "zscore" else opened


def matrix_blocks(opened: H5ad) -> Iterator[sp.csr_matrix]:
    """Read the rows in use, float32 CSR [cell, source column], block by block."""
    with _opened(opened.path) as handle:
        matrix = _matrix(handle, opened.layer, opened.path)
        n_cells, n_genes = matrix.shape
        sparse = not isinstance(matrix, h5py.Dataset)
        if sparse and matrix.format == "csc":
            rows = np.full(n_cells, -1, dtype=np.int64)
            rows[opened.positions] = np.arange(len(opened.positions))
            grid = Grid(rows, n_genes, str(opened.path), CELLS_PER_BLOCK, by_cell=False)
            yield from csr_blocks(_column_entries(matrix.group), grid)
            return
        step = CELLS_PER_BLOCK if sparse else max(1, min(CELLS_PER_BLOCK, BLOCK_BYTES // (4 * max(1, n_genes))))
        for start in range(0, n_cells, step):
            low, high = np.searchsorted(opened.positions, (start, start + step))
            if low < high:
                block = matrix[start : start + step][opened.positions[low:high] - start]
                yield sp.csr_matrix(block, dtype=np.float32)


def tell_h5ad_space(path: Path) -> Space:
    """Find what X of an h5ad holds; see `schema.tell_space`."""
    with _opened(path) as handle, readable(path):
        return tell_space(_matrix(handle, "X", path), str(path))


def _column_entries(group: h5py.Group) -> Iterator[np.ndarray]:
    starts = group["indptr"][:]
    for low in range(0, int(starts[-1]), ENTRIES_PER_READ):
        high = min(low + ENTRIES_PER_READ, int(starts[-1]))
        gene = np.searchsorted(starts, np.arange(low, high), side="right") - 1
        yield make_entries(group["indices"][low:high], gene, group["data"][low:high])


def _without_gaps(opened: H5ad, notes: list[str]) -> H5ad:
    """Leave out the genes that have a value that is not finite in any cell: one pass through the file."""
    finite = np.ones(len(opened.genes.column), dtype=bool)
    for x in matrix_blocks(opened):
        finite[x.indices[~np.isfinite(x.data)]] = False
    genes = opened.genes.only(finite)
    lost = opened.genes.names[~opened.genes.names.isin(genes.names)]
    if len(lost):
        notes.append(
            f"{opened.path.name}: {len(lost)} genes are NaN or infinite in some cells and are left out: {', '.join(lost[:8])}."
        )
    return replace(opened, genes=genes)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened as h5ad ({error}). It is truncated or no HDF5 file; get it again."
        ) from error
    with handle:
        yield handle


def _matrix(handle: h5py.File, layer: str, path: Path) -> Any:
    """Open a matrix of the file: an HDF5 data set, or AnnData's sparse one."""
    place = {"X": "X", "raw": "raw/X"}.get(layer, f"layers/{layer}")
    if place not in handle:
        has = [*(p for p in ("X", "raw") if p in handle), *handle.get("layers", ())]
        raise DataError(f"{path} has no matrix '{layer}'; it has {', '.join(has) or 'none'}.")
    return sparse_dataset(handle[place]) if isinstance(handle[place], h5py.Group) else handle[place]


def _frame(handle: h5py.File, name: str, path: Path) -> pd.DataFrame:
    if name not in handle:
        raise DataError(f"{path} has no {name}; is this an h5ad?")
    table = handle[name]
    with readable(path), warnings.catch_warnings():  # warnings are on the layouts of AnnData before 0.8
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        if isinstance(table, h5py.Group):
            check_columns([str(c) for c in table.attrs.get("column-order", ())], (), f"{path}: {name}")
            frame: pd.DataFrame = read_elem(table)
            return frame
        old = read_h5ad(path, backed="r")
    frame = (old.raw.var if name == "raw/var" else getattr(old, name)).copy()
    old.file.close()
    return frame


def _column(var: pd.DataFrame, name: str, path: Path) -> list[str]:
    if name == INDEX:
        return [str(v) for v in var.index]
    check_columns([str(c) for c in var.columns], (name,), f"{path}: var")
    return [str(v) for v in var[name]]


def _perturbations(obs: pd.DataFrame, keys: Keys, source: str, notes: list[str]) -> pd.Series:
    wanted = (keys.perturbation, keys.context, keys.batch, keys.arm, keys.dose)
    check_columns(list(obs.columns), [c for c in wanted if c], f"{source}: obs")
    given = obs[keys.perturbation]
    if isinstance(given.dtype, pd.CategoricalDtype):
        tell_missing(given.cat.categories.astype(str), given.astype(str), source, notes)
    return name_perturbations(given, source, keys.labelling, notes)
