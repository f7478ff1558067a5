"""Any h5ad, or AnnData in memory → canonical cells, block by block: dense, CSR or CSC, of any AnnData version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import CONTROL
from benchmarks.data.readers.blocks import CELLS_PER_BLOCK, Grid, canonical_blocks, csr_blocks, make_entries
from benchmarks.data.readers.elements import Elements, InMemory, elements_of
from benchmarks.data.readers.gene_columns import GeneMap, map_genes, share
from benchmarks.data.readers.hints import OPTIONS, suggest_keys, tell_unmeasured
from benchmarks.data.readers.labels import (
    Labelling,
    as_text,
    canonical_obs,
    known,
    name_perturbations,
    parse_doses,
    tell_missing,
    tell_undosed,
)
from benchmarks.data.readers.value_space import tell_space
from benchmarks.data.schema import Reading, Space

LOOK = 4096
"""Values from which a matrix is taken for counts."""
BLOCK_BYTES = 16 << 20
"""Size of a dense block as it is read; turning it into CSR takes up to five times as much for a moment."""
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
    """An h5ad, or an AnnData in memory, whose labels and gene names have been read."""

    path: Path | InMemory
    layer: str
    positions: np.ndarray
    """Rows of the file that are used, increasing, int [cell]."""
    obs: pd.DataFrame
    """Their canonical labels."""
    genes: GeneMap


def read_h5ads(
    files: Mapping[str, Path] | Mapping[str, InMemory],
    keys: Mapping[str, Keys],
    space: str = "counts",
    *,
    suggest: bool = False,
) -> Reading:
    """Read h5ad files one after another, with the genes that all of them have; no matrix is ever whole in memory.

    `keys` say where the labels of each of `files` are, `space` what the values are, `suggest` whether to note what a user
    may have meant to say of them.

    Raises
    ------
    DataError
        No h5ad, a column that is missing or there twice, labels or values that are not usable.
    """
    notes: list[str] = []
    found = [open_h5ad(path, keys[key], space, notes) for key, path in files.items()]
    for key, file in zip(files, found, strict=True):
        notes += hints(file, keys[key]) if suggest else []
    return Reading(_cells(found, space, notes), notes=notes)


def _cells(found: list[H5ad], space: str, notes: list[str]) -> Iterator[AnnData]:
    for h5ad, genes in zip(found, share([h5ad.genes for h5ad in found], notes), strict=True):
        yield from canonical_blocks(matrix_blocks(h5ad), h5ad.obs, genes, str(h5ad.path), space, notes)


def open_h5ad(path: Path | InMemory, keys: Keys, space: str, notes: list[str], *, whole: bool = True) -> H5ad:
    """Read the labels and gene names; raises as `read_h5ads`.

    `whole` says whether the file is a whole data set, which has controls in every context and cells of different names.
    """
    with elements_of(path) as elements:
        wanted = (keys.perturbation, keys.context, keys.batch, keys.arm, keys.dose)
        obs = elements.table("obs", [c for c in wanted if c])
        place = "raw/var" if keys.layer == "raw" else "var"
        var = elements.table(place, [c for c in (keys.genes, keys.gene_ids) if c and c != INDEX])
        elements.matrix(keys.layer)
        notes += _other_matrices(elements, keys.layer, space, path)
    given = obs[keys.perturbation]
    if whole and isinstance(given.dtype, pd.CategoricalDtype):
        tell_missing(given.cat.categories.astype(str), given.astype(str), path.name, notes)
    labels = name_perturbations(given, path.name, keys.labelling, notes, controls=whole)
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
        dose = parse_doses(doses, path.name, keys.dose_unit)
        tell_undosed(labels, dose, path.name, notes)
    made = canonical_obs(
        str(path),
        labels,
        context=known(kept[keys.context]) if keys.context else keys.context_name,
        batch=keys.prefix + known(kept[keys.batch]) if keys.batch else path.stem,
        arm=as_text(kept[keys.arm]) + keys.arm_unit if keys.arm else "none",
        dose=dose,
        whole=whole,
    )
    named_by = keys.gene_ids or (INDEX if keys.genes != INDEX else "")
    ids = _column(var, named_by) if named_by else []
    genes = map_genes(_column(var, keys.genes), path.name, ids, summed=space == "counts", notes=notes)
    if keys.id_prefix:
        genes = genes.only(np.array([i.startswith(keys.id_prefix) for i in ids], dtype=bool))
    found = H5ad(path, keys.layer, positions, made, genes)
    return _without_gaps(found, notes) if space == "zscore" and whole else found


def matrix_blocks(h5ad: H5ad) -> Iterator[sp.csr_matrix]:
    """Read the rows in use, float32 CSR [cell, source column], block by block."""
    with elements_of(h5ad.path) as elements:
        matrix = elements.matrix(h5ad.layer)
        n_cells, n_genes = matrix.shape
        if matrix.layout == "csc":
            rows = np.full(n_cells, -1, dtype=np.int64)
            rows[h5ad.positions] = np.arange(len(h5ad.positions))
            grid = Grid(rows, n_genes, str(h5ad.path), CELLS_PER_BLOCK, by_cell=False)
            yield from csr_blocks((make_entries(*entries) for entries in matrix.columns()), grid)
            return
        sparse = matrix.layout == "csr"
        step = CELLS_PER_BLOCK if sparse else max(1, min(CELLS_PER_BLOCK, BLOCK_BYTES // (4 * max(1, n_genes))))
        for start in range(0, n_cells, step):
            low, high = np.searchsorted(h5ad.positions, (start, start + step))
            if low < high:
                yield matrix.rows(start, min(start + step, n_cells))[h5ad.positions[low:high] - start]


def tell_h5ad_space(path: Path | InMemory, layer: str = "X") -> tuple[Space, str]:
    """Find what a matrix of an h5ad holds, and say why; see `value_space.tell_space`."""
    with elements_of(path) as elements:
        return tell_space(elements.matrix(layer), str(path), elements.base())


def hints(h5ad: H5ad, keys: Keys, options: Sequence[str] = OPTIONS) -> list[str]:
    """Note which of some options a user may have meant to give, and perturbed genes that are not among the genes; see `hints`."""
    with elements_of(h5ad.path) as elements:
        taken = {keys.perturbation, keys.context, keys.batch, keys.dose, keys.arm}
        columns = ((n, v.iloc[h5ad.positions]) for n, v in elements.columns("obs") if n not in taken)
        missing = [
            o for o, c in zip(OPTIONS, (keys.context, keys.batch, keys.dose), strict=True) if not c and o in options
        ]
        notes = suggest_keys(h5ad.path.name, h5ad.obs, columns, missing)
        if keys.labelling.genes:
            names = elements.columns("raw/var" if keys.layer == "raw" else "var")
            known_names = h5ad.obs["perturbation"].cat.categories
            others = ((n, v) for n, v in names if n != keys.genes)
            notes += tell_unmeasured(h5ad.path.name, known_names, h5ad.genes.names, others)
    return notes


def _other_matrices(elements: Elements, layer: str, space: str, path: Path | InMemory) -> list[str]:
    """Note matrices of whole numbers beside the one that is read, where that one does not hold counts."""
    if space == "counts":
        return []
    found = []
    for name in elements.matrices():
        if name not in ("X", layer):
            values = elements.stored(name).values
            sample = np.asarray(values[:LOOK] if values.ndim == 1 else values[:8])
            if sample.size and sample.dtype.kind in "fiu" and np.array_equal(sample, np.rint(sample)) and sample.any():
                found.append(
                    f"{path.name}: '{name}' looks like counts, and {layer} is read; use --layer {name} for counts."
                )
    return found


def _without_gaps(h5ad: H5ad, notes: list[str]) -> H5ad:
    """Leave out the genes that have a value that is not finite in any cell: one pass through the file."""
    finite = np.ones(len(h5ad.genes.column), dtype=bool)
    for x in matrix_blocks(h5ad):
        finite[x.indices[~np.isfinite(x.data)]] = False
    genes = h5ad.genes.only(finite)
    lost = h5ad.genes.names[~h5ad.genes.names.isin(genes.names)]
    if len(lost):
        notes.append(
            f"{h5ad.path.name}: {len(lost)} genes are NaN or infinite in some cells and are left out: {', '.join(lost[:8])}."
        )
    return replace(h5ad, genes=genes)


def _column(var: pd.DataFrame, name: str) -> list[str]:
    return ["" if pd.isna(v) else str(v) for v in (var.index if name == INDEX else var[name])]
