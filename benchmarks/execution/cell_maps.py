"""UMAP of input, true and predicted cells of a few conditions, for people to look at; runs that keep their predictions have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.errors import StoreError
from benchmarks.execution.prediction_store import Outcome, PredictionSet, checked_prediction
from benchmarks.scoring.cell_sets import take
from benchmarks.scoring.metrics.rank_sum import Cells
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.seeds import derive
from reports.tables import CELL_COLUMNS

CONDITIONS = 3
"""Conditions of a direction that are drawn: those with most changed genes in the first fold."""
MOST_CELLS = 120
"""Cells of the input, of the truth and of each model; more are subsampled."""
FEWEST_CELLS = 8
"""With fewer cells in all there is no picture."""
NEIGHBOURS = 15


def cell_maps(
    fold: ScoredFold, changed: np.ndarray, outcomes: Mapping[PredictionSet, Outcome], folder: Path
) -> pd.DataFrame:
    """Place cells of the conditions with most changed genes [condition] in one UMAP each; first seeds of all models.

    Distances are those of principal components of the training cells, perturbed genes left out, as in the metrics of
    distributions.

    Returns
    -------
    DataFrame
        Columns of `CELL_COLUMNS` but protocol, direction and fold; no row where no predictions are kept.
    """
    first = {entry: outcome for entry, outcome in outcomes.items() if entry.seed == 0 and outcome.kept}
    parts = [pd.DataFrame(columns=[name for name in CELL_COLUMNS if name not in ("protocol", "direction", "fold")])]
    for number in np.argsort(-changed, kind="stable")[:CONDITIONS].tolist() if first else []:
        sets = [(labels, fold.project(number, cells)) for labels, cells in _cells(fold, number, first, folder)]
        found = [(labels, x) for labels, x in sets if x is not None]
        if sum(len(x) for _, x in found) < FEWEST_CELLS:
            continue
        places = place_cells(np.vstack([x for _, x in found]), derive(fold.seed, "umap", fold.direction, number))
        sizes = [len(x) for _, x in found]
        rows = {name: np.repeat([labels[name] for labels, _ in found], sizes) for name in ("cells", "model", "unit")}
        about = {name: column[number] for name, column in fold.labels().items()}
        parts.append(pd.DataFrame(rows | {"x": places[:, 0].round(3), "y": places[:, 1].round(3)}).assign(**about))
    return pd.concat(parts[1:] or parts, ignore_index=True)[list(parts[0])]


def place_cells(x: np.ndarray, seed: int) -> np.ndarray:
    """Return the places in a UMAP [cell, 2] of cells [cell, component]; the same for the same seed."""
    import scanpy as sc  # seconds to import
    from anndata import AnnData

    cells = AnnData(obsm={"X_pca": np.ascontiguousarray(x, dtype=np.float32)}, shape=(len(x), 0))
    seed %= 2**31
    sc.pp.neighbors(cells, n_neighbors=min(NEIGHBOURS, len(x) - 1), use_rep="X_pca", random_state=seed)
    sc.tl.umap(cells, random_state=seed)
    return np.asarray(cells.obsm["X_umap"], dtype=float)


def _cells(
    fold: ScoredFold, number: int, outcomes: Mapping[PredictionSet, Outcome], folder: Path
) -> Iterator[tuple[dict[str, str], Cells]]:
    """Yield labels and some cells of the input, the truth and each model."""
    condition = fold.conditions[number]
    sides = {"input": condition.input(fold.direction), "true": condition.truth(fold.direction)}
    for name, positions in sides.items():
        rows = _some(len(positions), fold.generator(number, "umap", name))
        yield {"cells": name, "model": "", "unit": "cell"}, take(fold.cells, positions[rows])
    for entry, outcome in outcomes.items():
        if outcome.endings[number].status != "ok":
            continue
        try:
            prediction = checked_prediction(entry.folder(folder), number, outcome)
        except StoreError:
            continue  # its conditions are failed in the scores
        values = prediction.dense()
        rows = _some(len(values), fold.generator(number, "umap", entry.model))
        yield {"cells": "predicted", "model": entry.model, "unit": prediction.unit}, values[rows]


def _some(n: int, generator: np.random.Generator) -> np.ndarray:
    """Choose at most `MOST_CELLS` rows of n, ascending."""
    return np.sort(generator.permutation(n)[:MOST_CELLS])
