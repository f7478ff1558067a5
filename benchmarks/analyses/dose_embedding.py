"""Real and predicted cells of a compound by dose: a PHATE embedding, and the same in a number.

`python -m benchmarks.embedding RUN` reads a finished run of a suite with doses. The number is the share of predicted cells'
nearest real neighbours that have the predicted dose, beside chance and the same of real cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from benchmarks.data.store.atomic_files import write_csv
from benchmarks.data.store.folder_digests import update_sums
from benchmarks.errors import BenchmarkError
from benchmarks.execution.load_run import DirectedCondition, FinishedRun, choose
from benchmarks.execution.models.local_model import needing
from benchmarks.scoring.cell_sets import take
from benchmarks.scoring.training_summary import Components, find_components
from benchmarks.seeds import derive
from reports.figures.dose_embedding_figure import CELL_COLUMNS, NEIGHBOUR_COLUMNS, REAL, draw_embedding

MOST_CELLS = 100
"""Cells of a dose, real ones and each model's, that are looked at; more are subsampled."""
NEIGHBOURS = 10
LEAST = 5
"""Fewest real cells of a dose; a dose with fewer is left out."""
SAME = 3
"""Decimals of a principal component to which two cells are the same point of the picture."""


@dataclass(frozen=True)
class Pool:
    """Real cells of one compound in one context, equally many of every dose: positions in the data set, doses in nM [cell].

    The dose of controls is 0.
    """

    positions: np.ndarray
    doses: np.ndarray


@dataclass(frozen=True)
class Placed:
    """Cells of one state in the space of principal components: `x` [cell, component]."""

    model: str
    dose: float
    unit: str
    x: np.ndarray


def embed(run: FinishedRun, compounds: tuple[str, ...] = (), wanted: tuple[str, ...] = ()) -> list[Path]:
    """Measure neighbours for every compound tested, embed some, write tables and figures; returns the paths.

    Raises
    ------
    UnknownName, BenchmarkError
        A compound or model that is not there, a run without doses or with integration, or phate is missing.
    """
    asked = [a for a in run.conditions("n2p") if a.dose is not None]
    if not asked:
        raise BenchmarkError(f"{run.folder} has no doses; give a run of a suite with compounds, such as sciplex.")
    if run.plan.integration:
        raise BenchmarkError("Cells of an integrated run differ from fold to fold; embed a run without --integration.")
    models = run.models("n2p", wanted)
    asked.sort(key=lambda a: (a.condition.perturbation, a.condition.context, a.dose))
    groups = {key: list(own) for key, own in groupby(asked, key=_key)}
    drawn = [_key(a) for a in choose(asked, compounds)] if compounds else list(groups)[:2]
    spaces = {
        split.fold: find_components(run.plan.cells, split.train, _seed(run, "space")) for split in run.plan.splits
    }
    neighbours, cells = [], []
    for key, own in groups.items():
        pool = pool_of(run, own)
        labels = run.plan.labels | {"direction": "n2p", "context": key[0], "perturbation": key[1]}
        for one in own:
            space = spaces[one.split.fold]
            pool_x = space.transform(take(run.plan.cells, pool.positions))
            found = right_doses(pool_x, pool, _placed(run, [one], models, space))
            neighbours.append(found.assign(**labels, fold=one.split.fold))
        if key in drawn:
            cells.append(_embedded(run, own, models, pool, spaces[own[0].split.fold]).assign(**labels))
    folder = run.folder / "embedding"
    write_csv(pd.concat(neighbours, ignore_index=True)[list(NEIGHBOUR_COLUMNS)], folder / "neighbours.csv")
    write_csv(pd.concat(cells, ignore_index=True)[list(CELL_COLUMNS)], folder / "cells.csv")
    written = [folder / "neighbours.csv", folder / "cells.csv", *draw_embedding(folder)]
    update_sums(run.folder, written)
    return written


def pool_of(run: FinishedRun, asked: list[DirectedCondition]) -> Pool:
    """Gather a compound's real cells of every dose and controls, equally many of each, without any model's input cells.

    Raises
    ------
    BenchmarkError
        Fewer than two doses have enough cells.
    """
    obs, own = run.plan.cells.obs, asked[0].condition
    here = (obs["context"] == own.context).to_numpy()
    here[np.concatenate([a.condition.input(a.direction) for a in asked])] = False
    control = obs["is_control"].to_numpy()
    dose = np.where(control, 0.0, obs["dose"].to_numpy(dtype=float))
    here &= control | (obs["perturbation"] == own.perturbation).to_numpy()
    places = {d: np.flatnonzero(here & (dose == d)) for d in np.unique(dose[here]) if np.isfinite(d)}
    places = {d: where for d, where in places.items() if len(where) >= LEAST}
    if len(places) < 2:
        raise BenchmarkError(
            f"{own.context}/{own.perturbation} has {LEAST} real cells or more at {len(places)} dose(s) beside the input; "
            "neighbours of the right dose need two."
        )
    generator = np.random.default_rng(_seed(run, "pool", own.context, own.perturbation))
    size = min(MOST_CELLS, min(map(len, places.values())))
    chosen = [np.sort(generator.choice(where, size, replace=False)) for where in places.values()]
    positions = np.concatenate(chosen)
    order = np.argsort(positions)
    return Pool(positions[order], np.repeat(list(places), size)[order])


def right_doses(pool_x: np.ndarray, pool: Pool, placed: Iterable[Placed]) -> pd.DataFrame:
    """Count, for every model, how many of its cells' nearest real neighbours are of the predicted dose.

    `pool_x` are the cells of `pool` [cell, component], `placed` the predicted ones.

    Returns
    -------
    DataFrame
        One row per model, and one of the real cells of that dose among the others: `share` of `k` neighbours, mean over
        cells; `chance`, the dose's share of the real cells. A mean or a draw lies where no single cell does; `unit` says so.
    """
    counts = pd.Series(pool.doses).value_counts()
    k = int(min(NEIGHBOURS, counts.min() - 1))
    search = NearestNeighbors(n_neighbors=k + 1).fit(pool_x)
    found = [(cells, search.kneighbors(cells.x, n_neighbors=k, return_distance=False)) for cells in placed]
    if found and (dose := found[-1][0].dose) in counts:
        own = np.flatnonzero(pool.doses == dose)
        near = search.kneighbors(pool_x[own], return_distance=False)
        others = np.stack([row[row != place][:k] for row, place in zip(near, own, strict=True)])
        found.append((Placed(REAL, dose, "cell", pool_x[own]), others))
    return pd.DataFrame(
        {
            "model": cells.model,
            "dose": cells.dose,
            "unit": cells.unit,
            "n_cells": len(near),
            "k": k,
            "n_doses": len(counts),
            "share": float((pool.doses[near] == cells.dose).mean()),
            "chance": float(counts.get(cells.dose, 0) / counts.sum()),
        }
        for cells, near in found
    )


def _placed(run: FinishedRun, asked: list[DirectedCondition], models: list[str], space: Components) -> Iterator[Placed]:
    """Read the predicted cells of some conditions with a dose, model by model."""
    for one in asked:
        for model in models:
            prediction = run.prediction(one, model)
            if prediction is not None and one.dose is not None:
                values = prediction.dense()
                generator = np.random.default_rng(_seed(run, "predicted", model, one.name))
                rows = np.sort(generator.permutation(len(values))[:MOST_CELLS])
                yield Placed(model, one.dose, prediction.unit, space.transform(values[rows]))


def _embedded(
    run: FinishedRun, asked: list[DirectedCondition], models: list[str], pool: Pool, space: Components
) -> pd.DataFrame:
    """Embed a compound's real cells and all its predicted ones together."""
    with needing("phate"):  # GPL-2, and seconds to import: an extra
        import phate
    real = space.transform(take(run.plan.cells, pool.positions))
    parts = [Placed(REAL, d, "cell", real[pool.doses == d]) for d in np.unique(pool.doses)]
    parts += _placed(run, asked, models, space)
    # models may predict the very same cells; PHATE needs distinct points
    x, back = np.unique(np.round(np.vstack([part.x for part in parts]), SAME), axis=0, return_inverse=True)
    seed = _seed(run, "phate", *_key(asked[0]))
    points = phate.PHATE(n_components=2, random_state=seed, n_jobs=1, verbose=0, mds_solver="smacof").fit_transform(x)
    place = points[back.ravel()]
    sizes = [len(part.x) for part in parts]
    columns = {name: np.repeat([getattr(part, name) for part in parts], sizes) for name in ("model", "dose", "unit")}
    return pd.DataFrame(columns | {"x": place[:, 0], "y": place[:, 1]})


def _key(asked: DirectedCondition) -> tuple[str, str]:
    return asked.condition.context, asked.condition.perturbation


def _seed(run: FinishedRun, *parts: object) -> int:
    return derive(run.plan.question.base_seed, "embedding", *parts)
