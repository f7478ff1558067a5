"""Files between the harness and an isolated model: h5ad for cells, JSON for words, the store's npz for predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd
import scipy.sparse as sp
from anndata import AnnData, read_h5ad

from benchmarks.contract import Prediction, Query, Train
from benchmarks.execution.prediction_store import get_prediction, put_prediction

CELLS, WORDS = "cells.h5ad", "words.json"


def put_train(train: Train, folder: Path) -> None:
    """Write all of a `Train` but its progress function; `folder` is made."""
    annotation = {gene: sorted(terms) for gene, terms in train.annotation.items()}
    words = {"space": train.space, "perturbation_type": train.perturbation_type, "device": train.device}
    _put(train.cells, {**words, "workdir": str(train.workdir), "annotation": annotation}, folder)


def get_train(folder: Path, report: Callable[[int, int, str], None]) -> Train:
    """Read what `put_train` wrote."""
    cells, words = _get(folder)
    annotation = {gene: frozenset(terms) for gene, terms in words.pop("annotation").items()}
    return Train(cells, annotation=annotation, workdir=Path(words.pop("workdir")), report=report, **words)


def put_query(query: Query, folder: Path) -> None:
    """Write a `Query`; `folder` is made."""
    _put(query.cells, {f.name: getattr(query, f.name) for f in fields(query) if f.name != "cells"}, folder)


def get_query(folder: Path) -> Query:
    """Read what `put_query` wrote."""
    cells, words = _get(folder)
    return Query(cells=cells, **words)


def put_answer(prediction: Prediction, folder: Path) -> None:
    """Write a `Prediction`, the genes it names included; `folder` exists."""
    put_prediction(folder, 0, prediction)
    (folder / "genes.json").write_text(json.dumps(prediction.genes), encoding="utf-8")


def get_answer(folder: Path) -> Prediction:
    """Read what `put_answer` wrote."""
    genes = json.loads((folder / "genes.json").read_text(encoding="utf-8"))
    return replace(get_prediction(folder, 0), genes=None if genes is None else tuple(genes))


def read_cells(path: Path) -> AnnData:
    """Read canonical cells: float32 CSR matrix X, labels as plain text."""
    cells = read_h5ad(path)
    obs = cells.obs.astype({c: str for c in cells.obs if not pd.api.types.is_numeric_dtype(cells.obs[c])})
    return AnnData(X=sp.csr_matrix(cells.X), obs=obs, var=pd.DataFrame(index=cells.var_names))


def _put(cells: AnnData, words: dict[str, object], folder: Path) -> None:
    folder.mkdir(parents=True)
    bare = AnnData(X=cells.X, obs=cells.obs, var=pd.DataFrame(index=cells.var_names))
    bare.write_h5ad(folder / CELLS, convert_strings_to_categoricals=False)
    (folder / WORDS).write_text(json.dumps(words), encoding="utf-8")


def _get(folder: Path) -> tuple[AnnData, dict]:
    return read_cells(folder / CELLS), json.loads((folder / WORDS).read_text(encoding="utf-8"))
