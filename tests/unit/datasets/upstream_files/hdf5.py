"""Studies published as h5ad: Replogle in the layout of AnnData 0.7, scPerturb and a user's own in today's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData

from tests.unit.datasets.upstream_files.writing import SEED, Study, barcodes, draw, symbols

Frame = tuple[Sequence[str], Mapping[str, Sequence[Any]]]
"""Names of rows, and columns."""


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
    obs = {"gem_group": [i % 2 + 1 for i in range(n)], "gene": genes}
    write_replogle(path, [values], (cells, obs), (ids, {"gene_name": names}))
    study = Study({line.lower(): path}, values, cells, names)
    control = ["control" if g == "non-targeting" else g for g in genes]
    batch = [f"{line}_{i % 2 + 1}" for i in range(n)]
    study.truth = pd.DataFrame(
        {"perturbation": control, "context": line, "batch": batch}, index=[f"{line}_{c}" for c in cells]
    )
    return study


def write_replogle(path: Path, blocks: Iterable[np.ndarray], obs: Frame, var: Frame) -> None:
    """Write the values [cell, gene] of cells block by block, as a dense float32 array in one piece, and then the tables."""
    with h5py.File(path, "w") as handle:
        x = handle.create_dataset("X", (len(obs[0]), len(var[0])), "<f4", fill_time="never")
        start = 0
        for block in blocks:
            x[start : start + len(block)] = block
            start += len(block)
        write_frame(handle, "obs", "cell_barcode", *obs)
        write_frame(handle, "var", "gene_id", *var)


def write_frame(
    handle: h5py.File, name: str, index: str, labels: Sequence[str], columns: Mapping[str, Sequence[Any]]
) -> None:
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
            table[column] = codes.astype(np.int32)
            table[column].attrs["categories"] = kept.ref
        else:
            table[column] = np.array(values)


def modern(path: Path, values: object, obs: dict[str, list], var: dict[str, list] | None = None) -> Path:
    """Any h5ad of today's AnnData: scPerturb's copies, a user's own file."""
    names, _ = symbols(values.shape[1])  # type: ignore[attr-defined]
    cells = pd.Index([f"cell{i}" for i in range(values.shape[0])])  # type: ignore[attr-defined]
    table = pd.DataFrame({"symbol": names} | (var or {}), index=pd.Index((var or {}).get("name", names)))
    path.parent.mkdir(parents=True, exist_ok=True)
    AnnData(X=values, obs=pd.DataFrame(obs, index=cells), var=table).write_h5ad(path)
    return path
