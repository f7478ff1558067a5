"""Data sets: card → files → read → validate → canonical AnnData."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks import card as cards
from benchmarks.annotation import Annotation, from_card, read_annotation
from benchmarks.canonical import OBS_COLUMNS, Reading, validate
from benchmarks.card import Card
from benchmarks.download import fetch, locate
from benchmarks.errors import DataError, DownloadError


@dataclass(frozen=True)
class Dataset:
    """Cells in canonical form and all that is known of them."""

    card: Card
    cells: AnnData
    """[cell, gene]; X is CSR float32 in `card.space`."""
    annotation: Annotation
    expectation: pd.DataFrame | None
    digest: str
    """sha256 of cells, labels and gene names."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Upstream file name → sha256 of what was read."""
    warnings: tuple[str, ...] = ()


def load(name: str, *, data_dir: Path | None = None, annotation: Path | None = None) -> Dataset:
    """Load a data set by its name, downloading its files if they are not here.

    Parameters
    ----------
    name
        Folder under `datasets/`.
    data_dir
        Folder searched for local copies, by name and by content; `CYCSEQ_DATA` is searched after it.
    annotation
        Gene annotation file that takes the place of the data set's own.

    Raises
    ------
    UnknownName, DownloadError, DataError
        No such data set; a file cannot be had or is not the right one; its content is not usable.
    """
    card = cards.read_card(name)
    found = {file.key: fetch(file, data_dir) for file in card.files}
    reader = load_reader(name)
    try:
        reading: Reading = reader.read({key: file.path for key, file in found.items()})
        cells = _joined(list(reading.blocks), name)
    except (OSError, KeyError, ValueError) as error:
        paths = ", ".join(str(f.path) for f in found.values()) or "nothing"
        raise DataError(
            f"{name}: reading {paths} failed: {type(error).__name__}: {error}. The card's columns are "
            f"{dict(card.columns)}; is this the upstream file?"
        ) from error
    cells = _canonical(validate(cells, dataset=name, space=card.space))
    terms, warnings = _annotation(card, reading, data_dir, annotation)
    return Dataset(
        card=card,
        cells=cells,
        annotation=terms,
        expectation=reading.expectation,
        digest=digest(cells),
        files={f.path.name: f.sha256 for f in found.values()},
        warnings=(*warnings, *reading.notes),
    )


def present(name: str, data_dir: Path | None = None) -> bool:
    """Say whether all files of a data set are on this machine (a simulated one needs none)."""
    return all(locate(file, data_dir) for file in cards.read_card(name).files)


def digest(cells: AnnData) -> str:
    """Hash the content of canonical cells: values, labels, names; not the order of columns or any extra field."""
    hasher = hashlib.sha256()
    x = cells.X.tocsr(copy=True) if sp.issparse(cells.X) else sp.csr_matrix(cells.X)
    x.sum_duplicates()
    for part in (x.data.astype(np.float32), x.indices.astype(np.int64), x.indptr.astype(np.int64)):
        hasher.update(part.tobytes())
    for names in (cells.obs_names, cells.var_names, *(cells.obs[c] for c in sorted(OBS_COLUMNS))):
        hasher.update("\x1f".join(map(str, names)).encode())
        hasher.update(b"\x1e")
    return hasher.hexdigest()


def _joined(blocks: list[AnnData], name: str) -> AnnData:
    """Put the blocks of a reader below each other."""
    if len(blocks) == 1:
        return blocks[0]
    if not blocks:
        raise DataError(f"{name}: the reader gave no cells.")
    for block in blocks[1:]:
        if not block.var_names.equals(blocks[0].var_names):
            raise DataError(
                f"{name}: blocks of cells have different genes; a reader gives the same genes in the same order."
            )
    return AnnData(
        X=sp.vstack([sp.csr_matrix(block.X) for block in blocks], format="csr"),
        obs=pd.concat([block.obs for block in blocks]),
        var=blocks[0].var,
    )


def _canonical(cells: AnnData) -> AnnData:
    """Keep what the canonical form has and nothing else: no upstream statistic travels with the cells."""
    x = cells.X.tocsr().astype(np.float32) if sp.issparse(cells.X) else sp.csr_matrix(cells.X, dtype=np.float32)
    obs = cells.obs[list(OBS_COLUMNS)].copy()
    for column in OBS_COLUMNS[:5]:
        obs[column] = obs[column].astype(str)
    return AnnData(X=x, obs=obs, var=pd.DataFrame(index=cells.var_names.astype(str)))


def _annotation(
    card: Card, reading: Reading, data_dir: Path | None, path: Path | None
) -> tuple[Annotation, tuple[str, ...]]:
    if path:
        return read_annotation(path), ()
    if reading.annotation or not card.annotation:
        return reading.annotation, ()
    try:
        return from_card(card.annotation, data_dir), ()
    except DownloadError as error:
        return {}, (f"No gene annotation for {card.name}: {error} Models that need one are 'unsupported'.",)


def load_reader(name: str) -> ModuleType:
    """Import `datasets/<name>/read.py` by path, under a private name: `datasets` is no package of ours."""
    path = cards.DATASETS / name / "read.py"
    spec = importlib.util.spec_from_file_location(f"_cycseq_dataset_{name}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DataError(f"Data set '{name}' has no reader {path}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module
