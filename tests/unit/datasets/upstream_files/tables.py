"""Studies published as text tables: sci-Plex 3 and the pan-cancer lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests.unit.datasets.upstream_files.writing import Study, barcodes, draw, symbols, write


def sciplex3(folder: Path, n: int = 60) -> Study:
    """sci-Plex 3: entries without a head, pData with the names of rows and blanks, human and mouse genes."""
    names, ids = symbols(20)
    ids = [f"{i}.3" for i in ids[:15]] + [f"ENSMUSG{i:011d}.1" for i in range(5)]
    values = draw(n, len(names))
    cells = [f"A01_E09_RT_BC_{i}_Lig_BC_{i % 7}" for i in range(n)]
    cell, gene = np.nonzero(values)
    rows = "\n".join(f"{g + 1}\t{c + 1}\t{values[c, g]}" for c, g in zip(cell, gene, strict=True))
    screen = "GSM4150378_sciPlex3_A549_MCF7_K562_screen_"
    labels = [sciplex3_label(i, cell) for i, cell in enumerate(cells)]
    body = "\n".join(
        " ".join([f'"{i + 1}"', *(f'"{v}"' if isinstance(v, str) and v != "NA" else str(v) for v in row.values())])
        for i, row in enumerate(labels)
    )
    head = " ".join(f'"{c}"' for c in labels[0])
    annotation = '"id" "gene_short_name"\n' + "\n".join(f'"{i}" "{s}"' for i, s in zip(ids, names, strict=True))
    files = {
        "matrix": write(folder / f"{screen}UMI.count.matrix.gz", rows + "\n"),
        "cells": write(folder / f"{screen}cell.annotations.txt.gz", "".join(f"{c}\tChem3_Screen2\n" for c in cells)),
        "genes": write(folder / f"{screen}gene.annotations.txt.gz", annotation + "\n"),
        "pdata": write(folder / "GSM4150378_sciPlex3_pData.txt.gz", f"{head}\n{body}\n"),
    }
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
