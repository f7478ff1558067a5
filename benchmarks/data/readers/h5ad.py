"""Any h5ad → canonical cells, read from disk block by block: dense, CSR or CSC, of any AnnData version."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData, read_h5ad
from anndata.io import read_elem, sparse_dataset

from benchmarks.data.readers.blocks import Source, canonical_blocks
from benchmarks.data.readers.gene_columns import GeneMap, map_genes, only, restore
from benchmarks.data.readers.labels import (
    Cells,
    Labelling,
    as_text,
    canonical_obs,
    name_perturbations,
    parse_doses,
    tell_missing,
)
from benchmarks.data.readers.sparse_entries import CELLS_PER_BLOCK, Entries, Grid, csr_blocks, select
from benchmarks.data.readers.text_tables import check_columns, told_apart
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
    perturbs_genes: bool = True
    """Whether perturbations are genes, whose names may have become dates."""


@dataclass(frozen=True)
class H5ad:
    """An h5ad whose labels have been read."""

    path: Path
    layer: str
    positions: np.ndarray
    """Rows of the file that are used, increasing, int [cell]."""
    n_genes: int
    source: Source


def read_h5ad_blocks(
    path: Path, keys: Keys, space: str = "counts", notes: list[str] | None = None
) -> Iterator[AnnData]:
    """Read a user's or a study's h5ad without holding its matrix in memory.

    Parameters
    ----------
    path
        The file.
    keys
        Where its labels are.
    space
        What its values are: counts, ln, log2 or zscore.
    notes
        Takes what was left out or renamed, in words; complete once the blocks have been read.

    Yields
    ------
    AnnData
        Canonical cells; the same genes in the same order in every block.

    Raises
    ------
    DataError
        No h5ad, a column that is missing or there twice, labels or values that are not usable.
    """
    return h5ad_blocks(open_h5ad(path, keys, space, notes))


def open_h5ad(path: Path, keys: Keys, space: str = "counts", notes: list[str] | None = None) -> H5ad:
    """Read the labels and gene names; raises as `read_h5ad_blocks`."""
    notes = [] if notes is None else notes
    with _opened(path) as handle:
        obs, var = _frame(handle, "obs", path), _var(handle, keys.layer, path)
        shape = _shape(_matrix(handle, keys.layer, path))
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
    kept = obs.iloc[positions]
    cells = Cells(
        perturbation=labels.iloc[positions],
        context=kept[keys.context] if keys.context else keys.context_name,
        batch=keys.prefix + as_text(kept[keys.batch]) if keys.batch else path.stem,
        arm=as_text(kept[keys.arm]) + keys.arm_unit if keys.arm else "none",
        dose=_doses(kept, labels.iloc[positions], keys, str(path)) if keys.dose else None,
    )
    ids = _column(var, keys.gene_ids, path) if keys.gene_ids else []
    genes = map_genes(_column(var, keys.genes, path), path.name, ids, summed=space == "counts", notes=notes)
    if keys.id_prefix:
        genes = only(genes, np.array([i.startswith(keys.id_prefix) for i in ids], dtype=bool))
    source = Source(str(path), canonical_obs(cells, str(path)), genes, space, notes)
    opened = H5ad(path, keys.layer, positions, len(var), source)
    return _without_gaps(opened) if space == "zscore" else opened


def h5ad_blocks(opened: H5ad, genes: GeneMap | None = None) -> Iterator[AnnData]:
    """Read the cells of an opened h5ad.

    Parameters
    ----------
    opened
        From `open_h5ad`.
    genes
        Takes the place of the file's own genes, to read several files alike; see `benchmarks.data.readers.gene_columns.share`.
    """
    source = opened.source
    if genes is not None:
        source = Source(source.name, source.obs, genes, source.space, source.notes)
    yield from canonical_blocks(matrix_blocks(opened), source)


def matrix_blocks(opened: H5ad) -> Iterator[sp.csr_matrix]:
    """Read the rows in use, float32 CSR [cell, source column], block by block."""
    with _opened(opened.path) as handle:
        element = _matrix(handle, opened.layer, opened.path)
        if isinstance(element, h5py.Group) and sparse_dataset(element).format == "csc":
            yield from _by_columns(element, opened)
            return
        sparse = isinstance(element, h5py.Group)
        rows = CELLS_PER_BLOCK if sparse else max(1, min(CELLS_PER_BLOCK, BLOCK_BYTES // (4 * max(1, opened.n_genes))))
        matrix = sparse_dataset(element) if sparse else element
        for start in range(0, _shape(element)[0], rows):
            low, high = np.searchsorted(opened.positions, (start, start + rows))
            if low < high:
                block = matrix[start : start + rows][opened.positions[low:high] - start]
                yield sp.csr_matrix(block, dtype=np.float32)


def _by_columns(element: h5py.Group, opened: H5ad) -> Iterator[sp.csr_matrix]:
    n_cells = _shape(element)[0]
    rows = np.full(n_cells, -1, dtype=np.int64)
    rows[opened.positions] = np.arange(len(opened.positions))
    grid = Grid(len(opened.positions), opened.n_genes, str(opened.path), CELLS_PER_BLOCK, by_cell=False)
    yield from csr_blocks(select(_column_entries(element), rows), grid)


def _column_entries(element: h5py.Group) -> Iterator[Entries]:
    starts = element["indptr"][:]
    for low in range(0, int(starts[-1]), ENTRIES_PER_READ):
        high = min(low + ENTRIES_PER_READ, int(starts[-1]))
        gene = np.searchsorted(starts, np.arange(low, high), side="right") - 1
        yield Entries(element["indices"][low:high], gene, element["data"][low:high])


def _without_gaps(opened: H5ad) -> H5ad:
    """Leave out the genes that have a value that is not finite in any cell: one pass through the file."""
    finite = np.ones(opened.n_genes, dtype=bool)
    for x in matrix_blocks(opened):
        finite[x.indices[~np.isfinite(x.data)]] = False
    genes = opened.source.genes
    lost = np.unique(genes.column[~finite])
    if not len(lost):
        return opened
    names = genes.names.delete(lost)
    column = np.append(names.get_indexer(genes.names), -1)[genes.column]
    opened.source.notes.append(
        f"{opened.path.name}: {len(lost)} genes are NaN or infinite in some cells and are left out: "
        f"{', '.join(genes.names[lost[:8]])}."
    )
    source = Source(opened.source.name, opened.source.obs, GeneMap(names, column), "zscore", opened.source.notes)
    return H5ad(opened.path, opened.layer, opened.positions, opened.n_genes, source)


# --- what is in the file ---------------------------------------------------------------------------------------------


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


def _matrix(handle: h5py.File, layer: str, path: Path) -> h5py.Group | h5py.Dataset:
    place = {"X": "X", "raw": "raw/X"}.get(layer, f"layers/{layer}")
    if place not in handle:
        has = [*(p for p in ("X", "raw") if p in handle), *handle.get("layers", ())]
        raise DataError(f"{path} has no matrix '{layer}'; it has {', '.join(has) or 'none'}.")
    return handle[place]


def _shape(element: h5py.Group | h5py.Dataset) -> tuple[int, int]:
    shape = sparse_dataset(element).shape if isinstance(element, h5py.Group) else element.shape
    return int(shape[0]), int(shape[1])


def _var(handle: h5py.File, layer: str, path: Path) -> pd.DataFrame:
    return _frame(handle, "raw/var" if layer == "raw" else "var", path)


def _frame(handle: h5py.File, name: str, path: Path) -> pd.DataFrame:
    if name not in handle:
        raise DataError(f"{path} has no {name}; is this an h5ad?")
    table = handle[name]
    with told_apart(path), warnings.catch_warnings():  # warnings are on the layouts of AnnData before 0.8
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
    labels = name_perturbations(given, source, keys.labelling, notes)
    if not keys.perturbs_genes:
        return labels
    known = list(labels.dropna().unique())
    return labels.map(dict(zip(known, restore(known, source, notes=notes), strict=True)))


def _doses(obs: pd.DataFrame, labels: pd.Series, keys: Keys, source: str) -> np.ndarray:
    """Read the doses of the treated cells; what a control's dose field holds is of no interest."""
    values = obs[keys.dose].astype("string").mask((labels == "control").to_numpy())
    return parse_doses(values, source, keys.dose_unit)
