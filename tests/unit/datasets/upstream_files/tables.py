"""Studies published as text tables: sci-Plex 3 and the pan-cancer lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from tests.unit.datasets.upstream_files.writing import Study, barcodes, draw, symbols, write


def sciplex3(folder: Path, n: int = 60) -> Study:
    """sci-Plex 3: entries without a head, pData with the names of rows and blanks, human and mouse genes."""
    names, ids = symbols(20)
    ids = [f"{i}.3" for i in ids[:15]] + [f"ENSMUSG{i:011d}.1" for i in range(5)]
    values = draw(n, len(names))
    cells = [f"A01_E09_RT_BC_{i}_Lig_BC_{i % 7}" for i in range(n)]
    labels = [sciplex3_label(i, cell) for i, cell in enumerate(cells)]
    files = write_sciplex3(folder, [sp.csr_matrix(values)], labels, (names, ids))
    study = Study(files, values[:, :15], cells, names[:15])
    table = pd.DataFrame(labels, index=cells)
    keep = (table["hash_umis_W"] >= 5) & (table["rt_well"] != 1) & (table["cell_type"] != "NA")
    treated = table["vehicle"] == "FALSE"
    study.truth = pd.DataFrame(
        {
            "perturbation": table["product_name"].str.strip().str.replace("+", "plus").where(treated, "control"),
            "context": table["cell_type"],
            "arm": table["time_point"].astype(str) + "h",
            "batch": table["replicate"],
            "dose": pd.to_numeric(table["dose"], errors="coerce").where(treated),
        }
    )[keep]
    return study


def write_sciplex3(
    folder: Path,
    blocks: Iterable[sp.csr_matrix],
    labels: Iterable[dict[str, object]],
    genes: tuple[list[str], list[str]],
) -> dict[str, Path]:
    """Write counts [cell, gene] block by block, the rows of pData one by one, and symbols and ids of the genes."""
    screen = "GSM4150378_sciPlex3_A549_MCF7_K562_screen_"
    cells: list[str] = []
    return {
        "matrix": write(folder / f"{screen}UMI.count.matrix.gz", _entries(blocks)),
        "pdata": write(folder / "GSM4150378_sciPlex3_pData.txt.gz", _pdata(labels, cells)),
        "cells": write(folder / f"{screen}cell.annotations.txt.gz", (f"{c}\tChem3_Screen2\n".encode() for c in cells)),
        "genes": write(
            folder / f"{screen}gene.annotations.txt.gz",
            '"id" "gene_short_name"\n' + "".join(f'"{i}" "{s}"\n' for s, i in zip(*genes, strict=True)),
        ),
    }


def _pdata(labels: Iterable[dict[str, object]], cells: list[str]) -> Iterator[bytes]:
    """Write rows of pData as R does, with the names of rows; `cells` takes the names of the cells."""
    for i, row in enumerate(labels):
        cells.append(str(row["cell"]))
        head = "" if i else " ".join(f'"{c}"' for c in row) + "\n"
        fields = (f'"{v}"' if isinstance(v, str) and v != "NA" else str(v) for v in row.values())
        yield (head + " ".join([f'"{i + 1}"', *fields]) + "\n").encode()


def _entries(blocks: Iterable[sp.csr_matrix]) -> Iterator[bytes]:
    """Write entries as lines of gene, cell and count, from 1."""
    start = 0
    for block in blocks:
        x = block.tocoo()
        fields = (
            _decimal(numbers, end) for numbers, end in ((x.col + 1, "\t"), (x.row + start + 1, "\t"), (x.data, "\n"))
        )
        text = np.concatenate([*fields], axis=1)
        start += block.shape[0]
        yield text[text != 0].tobytes()


def _decimal(numbers: np.ndarray, end: str) -> np.ndarray:
    """Write whole numbers as characters, uint8 [number, place], 0 for none, with a character behind each."""
    powers = 10 ** np.arange(len(str(int(numbers.max(initial=1)))))[::-1]
    digits = numbers.astype(np.int64)[:, None] // powers
    characters = np.where(digits > 0, digits % 10 + ord("0"), 0).astype(np.uint8)
    return np.concatenate([characters, np.full((len(numbers), 1), ord(end), np.uint8)], axis=1)


def sciplex3_label(i: int, cell: str) -> dict[str, object]:
    """One row of pData: a third vehicle, some without a well, some with weak hashes, some of well 1."""
    known = i % 11 != 10
    name, number = (("Vehicle", "S0000"), ("(+)-JQ1", "S7110"), ("Busulfan ", "S1692"))[i % 3]
    row = {
        "cell": cell,
        "sample": "Chem3_Screen2",
        "n.umi": 100 + i,
        "hash_umis_W": 3 if i % 13 == 12 else 50,
        "top_to_second_best_ratio_W": 8.5,
        "top_oligo_W": "plate6_A9",
        "hash_umis_P": 60,
        "top_to_second_best_ratio_P": 12.25,
        "top_oligo_P": "plate44",
        "rt_well": 1 if i % 17 == 16 else 100,
        "cell_type": ("A549", "MCF7")[i % 2],
        "replicate": f"rep{i % 4 // 2 + 1}",
        "time_point": 72 if i % 12 == 0 else 24,
        "vehicle": "TRUE" if i % 3 == 0 else "FALSE",
        "dose": 0 if i % 3 == 0 else (10, 10000)[i % 2],
        "catalog_number": number,
        "product_name": name,
    }
    unknown = ("cell_type", "replicate", "time_point", "dose", "catalog_number", "product_name")
    return row if known else row | dict.fromkeys(unknown, "NA") | {"vehicle": "FALSE"}


def kinker(folder: Path, n: int = 30, counts: bool = False) -> Study:
    """Kinker 2020: gene × cell text, of CPM ("GENE" first) or of counts (two lines of labels above the genes)."""
    names, _ = symbols(25)
    values = draw(n, len(names)).astype(float)
    cells = [f"{b}-1-{i % 3}" for i, b in enumerate(barcodes(n))]
    lines = [("A549_LUNG", "NCIH2126_LUNG")[i % 2] for i in range(n)]
    pools = [f"pool{i % 3}" for i in range(n)]
    if not counts:
        values = np.round(1e6 * values / values.sum(axis=1, keepdims=True), 4)
    head = [("" if counts else "GENE", cells)] + ([("Cell_line", lines), ("Pool_ID", pools)] if counts else [])
    rows = [*head, *((g, [f"{v:.10g}" for v in values[:, j]]) for j, g in enumerate(names))]
    text = "\n".join("\t".join([name, *fields]) for name, fields in rows) + "\n"
    kept = [i for i in range(n) if i % 10 != 9]  # the others did not pass the authors' quality control
    table = ["NAME\tCell_line\tPool_ID\tCancer_type", "TYPE\tgroup\tgroup\tgroup"]
    table += [f"{cells[i]}\t{lines[i]}\t{pools[i]}\tLung Cancer" for i in reversed(kept)]
    name = "UMIcount_data.txt" if counts else "CPM_data.txt"
    files = {"umi" if counts else "cpm": write(folder / name, text)}
    files["metadata"] = write(folder / "Metadata.txt", "\n".join(table) + "\n")
    study = Study(files, values, cells, names)
    labels = [("control", lines[i], pools[i]) for i in kept]
    study.truth = pd.DataFrame(labels, index=[cells[i] for i in kept], columns=["perturbation", "context", "batch"])
    return study
