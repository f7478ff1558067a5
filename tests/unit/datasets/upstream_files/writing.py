"""Counts, names and text as upstream files have them; seeded."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 5
PACKING = 6
"""Level of gzip, its own default."""


@dataclass
class Study:
    """Files of one study and what a reader should make of them."""

    files: dict[str, Path]
    counts: np.ndarray
    """Values [cell of the files, gene of the files]."""
    cells: list[str]
    genes: list[str]
    truth: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Canonical labels of the cells that are to be kept, by name."""

    def kept(self) -> np.ndarray:
        """Values of the cells to be kept, in their order."""
        return self.counts[[self.cells.index(c) for c in self.truth.index]]


def draw(n_cells: int, n_genes: int, mean: float = 2.0, seed: int = SEED) -> np.ndarray:
    """Counts, at least one in every cell."""
    counts = np.random.default_rng(seed).poisson(mean, (n_cells, n_genes))
    counts[:, 0] += 1
    return counts


def barcodes(n: int, seed: int = SEED) -> list[str]:
    """Barcodes of 16 nucleotides, all different."""
    first, step = np.random.default_rng(seed).integers(4**15, size=2)
    numbers = (first + (2 * step + 1) * np.arange(n)) % 4**16
    letters = np.frombuffer(b"ACGT", np.uint8)[(numbers[:, None] >> (2 * np.arange(16))) & 3]
    return letters.view("S16").ravel().astype(str).tolist()


def symbols(n: int) -> tuple[list[str], list[str]]:
    """Symbols and Ensembl ids that are nobody's."""
    return [f"GENE{i}" for i in range(n)], [f"ENSG9{i:010d}" for i in range(n)]


def write(path: Path, text: str | Iterable[bytes]) -> Path:
    """Write text, whole or in parts, gzipped if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [text.encode()] if isinstance(text, str) else text
    with path.open("wb") as file:
        packed = gzip.GzipFile("", "wb", PACKING, file, mtime=0) if path.suffix == ".gz" else nullcontext(file)
        with packed as out:
            out.writelines(parts)
    return path


def cut(path: Path, share: float = 0.6) -> None:
    """Cut a file off, as an interrupted download does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def matrix_market(values: np.ndarray, kind: str = "integer") -> str:
    """Write values [cell, gene] as Cell Ranger does: gene × cell, sorted by cell."""
    cell, gene = np.nonzero(values)
    head = f"%%MatrixMarket matrix coordinate {kind} general\n%\n{values.shape[1]} {values.shape[0]} {len(cell)}\n"
    body = "\n".join(f"{g + 1} {c + 1} {values[c, g]:g}" for c, g in zip(cell, gene, strict=True))
    return head + body + "\n"


def triplet(
    folder: Path, stem: str, values: np.ndarray, names: tuple[list[str], list[str], list[str]], old: bool = False
) -> list[Path]:
    """Write barcodes, features (before Cell Ranger 3: genes) and matrix; `names` are barcodes, symbols and ids."""
    cells, genes, ids = names
    rows = [f"{i}\t{s}" + ("" if old else "\tGene Expression") for s, i in zip(genes, ids, strict=True)]
    return [
        write(folder / f"{stem}barcodes.tsv.gz", "\n".join(cells) + "\n"),
        write(folder / f"{stem}{'genes' if old else 'features'}.tsv.gz", "\n".join(rows) + "\n"),
        write(folder / f"{stem}matrix.mtx.gz", matrix_market(values)),
    ]
