"""Files of a unit of work: the training cells, then one query at a time.

Cells are NumPy archives without pickled objects, which every version of the packages reads alike; labels are JSON.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from benchmarks.contract import Query, Train, no_report

TRAIN, QUERY = "train", "query"


def put_train(train: Train, folder: Path) -> None:
    """Write all of a `Train` but its progress function and working folder."""
    annotation = {gene: sorted(terms) for gene, terms in train.annotation.items()}
    labels = {"space": train.space, "perturbation_type": train.perturbation_type, "device": train.device}
    _put(folder / TRAIN, train.cells, {**labels, "annotation": annotation})


def get_train(folder: Path) -> Train:
    """Read what `put_train` wrote."""
    cells, labels = _get(folder / TRAIN)
    annotation = {gene: frozenset(terms) for gene, terms in labels.pop("annotation").items()}
    return Train(cells, annotation=annotation, report=no_report, **labels)


def put_query(query: Query, folder: Path) -> None:
    """Write a `Query`."""
    _put(folder / QUERY, query.cells, {f.name: getattr(query, f.name) for f in fields(query) if f.name != "cells"})


def get_query(folder: Path) -> Query:
    """Read what `put_query` wrote."""
    cells, labels = _get(folder / QUERY)
    return Query(cells=cells, **labels)


def _put(path: Path, cells: AnnData, labels: dict[str, Any]) -> None:
    x, obs = sp.csr_matrix(cells.X), cells.obs
    columns = {f"obs_{c}": obs[c].to_numpy() for c in obs}
    text = {"names": cells.obs_names.to_numpy(), "genes": cells.var_names.to_numpy()}
    arrays = {name: v.astype(str) if v.dtype == object else v for name, v in (columns | text).items()}
    arrays |= {"data": x.data, "indices": x.indices, "indptr": x.indptr}
    np.savez(path.with_suffix(".npz"), **arrays)
    path.with_suffix(".json").write_text(json.dumps(labels), encoding="utf-8")


def _get(path: Path) -> tuple[AnnData, dict[str, Any]]:
    with np.load(path.with_suffix(".npz")) as stored:
        names, genes = (stored[name].astype(object) for name in ("names", "genes"))
        shape = (len(names), len(genes))
        x = sp.csr_matrix((stored["data"], stored["indices"], stored["indptr"]), shape=shape)
        obs = pd.DataFrame({key[4:]: stored[key] for key in stored.files if key.startswith("obs_")}, index=names)
    obs = obs.astype({c: str for c in obs if not pd.api.types.is_numeric_dtype(obs[c])})
    labels = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return AnnData(X=x, obs=obs, var=pd.DataFrame(index=genes)), labels
