"""Small files in exactly the form each study publishes, for the tests of the readers; seeded."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

SEED = 5


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
    letters = np.random.default_rng(seed).choice(list("ACGT"), (n, 12))
    tails = ["".join("ACGT"[(i // 4**k) % 4] for k in range(4)) for i in range(n)]
    return ["".join(row) + tail for row, tail in zip(letters, tails, strict=True)]


def symbols(n: int) -> tuple[list[str], list[str]]:
    """Symbols and Ensembl ids that are nobody's."""
    return [f"GENE{i}" for i in range(n)], [f"ENSG9{i:010d}" for i in range(n)]


def write(path: Path, text: str) -> Path:
    """Write text, gzipped if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text)
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


def triplet(folder: Path, stem: str, values: np.ndarray, names: tuple[list[str], list[str], list[str]]) -> list[Path]:
    """Write barcodes, features and matrix; `names` are barcodes, symbols and ids."""
    cells, genes, ids = names
    rows = [f"{i}\t{s}\tGene Expression" for s, i in zip(genes, ids, strict=True)]
    return [
        write(folder / f"{stem}barcodes.tsv.gz", "\n".join(cells) + "\n"),
        write(folder / f"{stem}features.tsv.gz", "\n".join(rows) + "\n"),
        write(folder / f"{stem}matrix.mtx.gz", matrix_market(values)),
    ]


def identified(folder: Path, accession: str, identities: list[str], genes: list[str] | None = None) -> Study:
    """GSE133344 and GSE132080: 10x triplet and cell_identities.csv; the last three barcodes have no row there."""
    cells = [f"{b}-{i % 2 + 1}" for i, b in enumerate(barcodes(len(identities) + 3))]
    names, ids = symbols(30)
    names = genes + names[len(genes) :] if genes else names
    values = draw(len(cells), len(names))
    paths = triplet(folder, f"{accession}_", values, (cells, names, ids))
    rows = [
        f"{c},{g},100,{20 + i},5.0,{i % 2 + 1},{i % 10 != 9},{2 if i % 10 == 8 else 1}"
        for i, (c, g) in enumerate(zip(cells, identities, strict=False))
    ]
    head = "cell_barcode,guide_identity,read_count,UMI_count,coverage,gemgroup,good_coverage,number_of_cells"
    table = write(folder / f"{accession}_cell_identities.csv.gz", "\n".join([head, *rows]) + "\n")
    files = dict(zip(("barcodes", "genes", "matrix", "identities"), [*paths, table], strict=True))
    return Study(files, values, cells, names)


def norman(folder: Path) -> Study:
    """Norman 2019: pairs of guides, of which NegCtrl* is none."""
    pairs = ("AHR_KLF1", "KLF1_AHR", "AHR_NegCtrl0", "NegCtrl0_KLF1", "NegCtrl10_NegCtrl0", "NegCtrl1_NegCtrl0")
    named = ("AHR+KLF1", "AHR+KLF1", "AHR", "KLF1", "control", None)
    which = [i % len(pairs) for i in range(60)]
    study = identified(folder, "GSE133344_raw", [f"{pairs[i]}__{pairs[i]}" for i in which])
    truth = [(c, named[w], str(i % 2 + 1)) for i, (c, w) in enumerate(zip(study.cells, which, strict=False))]
    kept = [t for i, t in enumerate(truth) if i % 10 not in (8, 9) and t[1]]
    study.truth = pd.DataFrame(kept, columns=["cell", "perturbation", "batch"]).set_index("cell").assign(context="K562")
    return study


def jost(folder: Path) -> Study:
    """Jost 2020: GENE_guide, neg_ctrl_guide, * for unknown."""
    guides = ("GATA1_GATA1_-_48649605.23-P1P2_00", "HSPA5_HSPA5_+_1280.23_12", "neg_ctrl_non-targeting_00089", "*")
    named = ("GATA1", "HSPA5", "control", None)
    study = identified(folder, "GSE132080_10X", [guides[i % 4] for i in range(40)])
    truth = [(c, named[i % 4], str(i % 2 + 1)) for i, c in enumerate(study.cells[:40])]
    kept = [t for i, t in enumerate(truth) if i % 10 not in (8, 9) and t[1]]
    study.truth = pd.DataFrame(kept, columns=["cell", "perturbation", "batch"]).set_index("cell").assign(context="K562")
    return study


def cropseq_genes() -> tuple[list[str], list[str]]:
    """350 genes of which 30 are ribosomal and 5 mitochondrial, so that cells pass the authors' limits."""
    names, ids = symbols(350)
    return [f"RPL{i}" for i in range(30)] + [f"MT-{i}" for i in range(5)] + names[35:], ids


LIBRARY = {"TTTT" * 5: "FAS", "ACGT" * 5: "CD44", "GGGG" * 5: "Control_1", "CCCC" * 5: "Control_2", "GATC" * 5: "NLRC5"}
RUNS = (("K562", "noNK"), ("K562", "NK1_1_16"), ("LP1", "noNK"), ("LP1", "NK1_1_4"))
ARMS = {"noNK": "noNK", "NK1_1_16": "NK_1_16", "NK1_1_4": "NK_1_4"}


def cropseq(folder: Path, n: int = 24) -> Study:
    """Dufva 2023: four runs; per run cells of FAS, CD44, two controls, a doublet and one without guide reads."""
    genes, ids = cropseq_genes()
    files, every, cells, truth = {}, [], [], []
    for number, (line, arm) in enumerate(RUNS):
        bare, values = barcodes(n, seed=number), draw(n, len(genes), 12.0, seed=number)
        paths = triplet(folder, f"CROPseq_{line}_{arm}_", values, ([f"{b}-1" for b in bare], genes, ids))
        files |= {f"{line}_{arm}_{p}": path for p, path in zip(("barcodes", "features", "matrix"), paths, strict=True)}
        names = [f"{line}_{arm}_{b}" for b in bare]
        every, cells = [*every, values], [*cells, *names]
        prefix = "" if arm == "noNK" else "_"  # the authors' scripts join some of the names without an underscore
        rows = ["cell\tbarcode\tread_count\tumi_count"]
        for i, (barcode, name) in enumerate(zip(bare, names, strict=True)):
            guides, label = GUIDES[i % len(GUIDES)]
            rows += [f"{prefix}{barcode}-1\t{g}\t{3 * u}\t{u}" for g, u in guides]
            if label:
                truth.append((name, label, line, ARMS[arm], f"{line}_{arm}"))
        files[f"{line}_{arm}_sgRNA"] = write(folder / f"CROPseq_{line}_{arm}_sgRNA.txt", "\n".join(rows) + "\n")
    for line in {line for line, _ in RUNS}:
        rows = [f"g{i}\t{s}\t{g}\t{g}_1" for i, (s, g) in enumerate(LIBRARY.items())]
        text = "\n".join(["sgrna\tsequence\tgene\tsgrna_name", *rows]) + "\n"
        files[f"{line}_library"] = write(folder / f"CROPseq_{line}_sgRNA_library.txt", text)
    columns = ["cell", "perturbation", "context", "arm", "batch"]
    study = Study(files, np.concatenate(every), cells, genes)
    study.truth = pd.DataFrame(truth, columns=columns).set_index("cell")
    return study


_FAS, _CD44, _CONTROL_1, _CONTROL_2, _ = LIBRARY
GUIDES: tuple[tuple[list[tuple[str, int]], str | None], ...] = (
    ([(_FAS, 40), (_CD44, 2)], "FAS"),
    ([(_CD44, 30), ("unprocessed_ACGTACGT", 50)], "CD44"),
    ([(_CONTROL_1, 20), (_CONTROL_2, 15)], "control"),
    ([(_CONTROL_2, 25)], "control"),
    ([(_FAS, 30), (_CD44, 20)], None),  # two guides
    ([(_FAS, 9)], None),  # too few reads
    ([], None),
)
"""Guide reads of a cell and what is to be called."""


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


def replogle(folder: Path, line: str, n: int = 40, first: int = 0, zscore: bool = False) -> Study:
    """Replogle 2022: dense h5ad in the layout of AnnData 0.7 (categories apart), genes by Ensembl id."""
    names, ids = (part[first : first + 20] for part in symbols(60))
    names[1] = names[2]  # two genes of one symbol, as TBCE
    values = draw(n, len(names)).astype(np.float32)
    if zscore:
        values = np.random.default_rng(SEED).normal(size=values.shape).astype(np.float32)
        values[3, 4] = np.nan
    cells = [f"{b}-{i % 2 + 1}" for i, b in enumerate(barcodes(n, seed=len(line)))]
    genes = [("non-targeting", "POLR2A", "RPL3")[i % 3] for i in range(n)]
    stem = {"K562": "K562_essential_", "RPE1": "rpe1_"}[line] + ("normalized" if zscore else "raw")
    path = folder / f"{stem}_singlecell_01.h5ad"
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        handle["X"] = values
        write_frame(handle, "obs", "cell_barcode", cells, {"gem_group": [i % 2 + 1 for i in range(n)], "gene": genes})
        write_frame(handle, "var", "gene_id", ids, {"gene_name": names})
    study = Study({line.lower(): path}, values, cells, names)
    control = ["control" if g == "non-targeting" else g for g in genes]
    batch = [f"{line}_{i % 2 + 1}" for i in range(n)]
    study.truth = pd.DataFrame(
        {"perturbation": control, "context": line, "batch": batch}, index=[f"{line}_{c}" for c in cells]
    )
    return study


def write_frame(handle: h5py.File, name: str, index: str, labels: list[str], columns: dict[str, list]) -> None:
    """Write a table as AnnData 0.7 did: text as codes, its categories in a group of their own."""
    table = handle.create_group(name)
    order = np.array(list(columns), dtype=h5py.string_dtype())
    table.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": index})
    table.attrs["column-order"] = order
    table.create_dataset(index, data=np.array(labels, dtype=object), dtype=h5py.string_dtype())
    for column, values in columns.items():
        if isinstance(values[0], str):
            codes, categories = pd.factorize(np.array(values, dtype=object), sort=True)
            kept = table.require_group("__categories").create_dataset(
                column, data=np.array(categories, dtype=object), dtype=h5py.string_dtype()
            )
            kept.attrs["ordered"] = False
            table[column] = codes.astype(np.int8)
            table[column].attrs["categories"] = kept.ref
        else:
            table[column] = np.array(values)
