"""Studies published as 10x triplets: Norman, Jost and Dufva."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tests.unit.datasets.upstream_files.writing import Study, barcodes, draw, symbols, triplet, write


def identified(folder: Path, accession: str, identities: list[str], genes: list[str] | None = None) -> Study:
    """GSE133344 and GSE132080: 10x triplet and cell_identities.csv; the last three barcodes have no row there."""
    cells = [f"{b}-{i % 2 + 1}" for i, b in enumerate(barcodes(len(identities) + 3))]
    names, ids = symbols(30)
    names = genes + names[len(genes) :] if genes else names
    values = draw(len(cells), len(names))
    paths = triplet(folder, f"{accession}_", values, (cells, names, ids), old=True)
    rows = [
        f"{c},{g},100,{20 + i},5.0,{i % 2 + 1},{i % 10 != 9},{2 if i % 10 == 8 else 1}"
        for i, (c, g) in enumerate(zip(cells, identities, strict=False))
    ]
    head = "cell_barcode,guide_identity,read_count,UMI_count,coverage,gemgroup,good_coverage,number_of_cells"
    table = write(folder / f"{accession.removesuffix('_10X')}_cell_identities.csv.gz", "\n".join([head, *rows]) + "\n")
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


def cropseq(folder: Path, n: int = 24, runs: Sequence[tuple[str, str]] = RUNS) -> Study:
    """Dufva 2023: runs of cells with guides of FAS, CD44 and controls, of two genes, of too few reads, and of none."""
    genes, ids = cropseq_genes()
    files, every, cells, truth = {}, [], [], []
    for number, (line, arm) in enumerate(runs):
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
    for line in {line for line, _ in runs}:
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
