"""Scores: stored predictions against the truth, as tidy rows. Needs no training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.decomposition import PCA

from benchmarks.contract import CONTROL, Direction, Prediction
from benchmarks.metrics import METRICS, Metric
from benchmarks.metrics.copying import copies_input, copy_margin, honest_margin
from benchmarks.metrics.distribution import N_COMPONENTS, e_distance, equal_sizes
from benchmarks.seeds import derive
from benchmarks.splits import Split
from benchmarks.store import Ending

MIN_CONDITIONS = 3
"""Fewer candidates than this in a context and fold, and retrieval is not scored."""
CEILING_REPEATS = 10
WHY = {
    "too_few_conditions": f"fewer than {MIN_CONDITIONS} test conditions in this context and fold",
    "needs_cells": "predicts draws or a mean, not cells",
}
"""Reason of a status that scoring, not the model, gives."""
REFERENCES = ("oracle", "ceiling", "expectation")
Values = Mapping[str, tuple[np.ndarray, list[str]]]
"""Metric name → (value, status) of every condition."""


@dataclass(frozen=True)
class Side:
    """Profiles and cells of one side of the comparison, for all conditions of a fold: arrays [condition, gene]."""

    profiles: np.ndarray
    cells: Sequence[np.ndarray | None]
    """Single cells of each condition in the training cells' principal components; None where there are no cells."""


@dataclass(frozen=True)
class Truth:
    """All a prediction of one fold and direction is held against; shared by every model."""

    direction: Direction
    contexts: np.ndarray
    perturbations: np.ndarray
    target: Side
    start: np.ndarray
    """Mean profiles of the input cells I [condition, gene]."""
    reference: np.ndarray
    """Mean profiles of the reference cells R."""
    shared: np.ndarray
    """Mean profiles of I and R together: the one control mean that peers subtract from both sides."""
    bound: np.ndarray
    """Lower 95 % bound of an honest copy margin [condition]."""
    n_cells: np.ndarray
    project: Callable[[np.ndarray], np.ndarray]
    halves: tuple[tuple[Side, Side], ...]
    """Random disjoint halves of the truth: (as prediction, as truth)."""
    seed: int


def training_components(cells: AnnData, split: Split, seed: int) -> PCA:
    """Fit the principal components that distances are measured in, on training cells alone."""
    n = min(N_COMPONENTS, len(split.train) - 1, cells.n_vars - 1)
    return PCA(n, svd_solver="arpack", random_state=seed).fit(cells.X[split.train])


def truth_of(cells: AnnData, split: Split, direction: Direction, pca: PCA, seed: int) -> Truth:
    """Compute the truth's side once: means, cells in principal components, halves for the ceiling.

    Parameters
    ----------
    cells
        All cells in the run's space.
    split, direction
        The fold and which way it is asked.
    pca
        From `training_components`.
    seed
        Seed of every random subsample made in scoring.
    """
    generator = np.random.default_rng(derive(seed, "truth", direction))
    matrices = [np.asarray(cells.X[c.truth(direction)].toarray(), dtype=np.float64) for c in split.conditions]
    start = np.stack([_mean(cells, c.input(direction)) for c in split.conditions])
    reference = np.stack([_mean(cells, c.reference(direction)) for c in split.conditions])
    shared = np.stack(
        [_mean(cells, np.concatenate([c.input(direction), c.reference(direction)])) for c in split.conditions]
    )
    projected = [pca.transform(m) for m in matrices]
    return Truth(
        direction=direction,
        contexts=np.array([c.context for c in split.conditions]),
        perturbations=np.array([c.perturbation for c in split.conditions]),
        target=Side(np.stack([m.mean(axis=0) for m in matrices]), projected),
        start=start,
        reference=reference,
        shared=shared,
        bound=np.array([honest_margin(m, s, generator) for m, s in zip(matrices, start, strict=True)]),
        n_cells=np.array([len(m) for m in matrices]),
        project=pca.transform,
        halves=tuple(_halve(matrices, projected, generator) for _ in range(CEILING_REPEATS)),
        seed=seed,
    )


def score_model(truth: Truth, endings: Sequence[Ending], load: Callable[[int], Prediction]) -> pd.DataFrame:
    """Score one model's predictions of a fold.

    Parameters
    ----------
    truth
        From `truth_of`.
    endings
        How each condition ended, in the split's order.
    load
        Number of a condition → its prediction; called only for those that ended ok.

    Returns
    -------
    pd.DataFrame
        Columns context, perturbation, metric, value, status, reason, n_truth_cells: one row per condition and metric.
    """
    ok = np.array([e.status == "ok" for e in endings])
    profiles = np.zeros_like(truth.target.profiles)
    cells: list[np.ndarray | None] = [None] * len(endings)
    for number in np.flatnonzero(ok):
        prediction = load(int(number))
        profiles[number] = prediction.mean()
        if prediction.unit == "cell" and len(prediction.values) > 1:
            cells[number] = truth.project(prediction.values)
    values = _evaluate(truth, truth.target, Side(profiles, cells), truth.reference, ok)
    return _rows(truth, values, endings)


def score_references(truth: Truth, expectation: np.ndarray | None) -> dict[str, pd.DataFrame]:
    """Score what no model is: the truth itself, half of it against the other half, and the simulator's own truth.

    Parameters
    ----------
    truth
        From `truth_of`.
    expectation
        Noise-free mean profiles [condition, gene] of simulated data; None for real data.
    """
    every = np.ones(len(truth.contexts), dtype=bool)
    # δ̂ = δ for the oracle: its change is measured from the same reference as the truth's
    oracle: Values = _evaluate(truth, truth.target, truth.target, truth.reference, every, start=truth.reference)
    repeats = [_evaluate(truth, target, output, truth.reference, every) for output, target in truth.halves]
    ceiling = {name: (np.mean([r[name][0] for r in repeats], axis=0), repeats[0][name][1]) for name in repeats[0]}
    # cells are not at distance 0 from themselves in expectation (each meets itself); disjoint cells of one condition are
    oracle = {**oracle, "e_distance": ceiling["e_distance"]}
    found: dict[str, Values] = {"oracle": oracle, "ceiling": ceiling}
    if expectation is not None:
        found["expectation"] = _evaluate(
            truth, truth.target, Side(expectation, [None] * len(every)), truth.reference, every
        )
    endings = [Ending(c, p, "ok") for c, p in zip(truth.contexts, truth.perturbations, strict=True)]
    return {name: _rows(truth, values, endings) for name, values in found.items()}


def expected_profiles(table: pd.DataFrame | None, truth: Truth, arm: str, genes: pd.Index) -> np.ndarray | None:
    """Look the simulator's noise-free profiles up for each condition; None if there are none."""
    if table is None:
        return None
    labels = truth.perturbations if truth.direction == "n2p" else np.full(len(truth.contexts), CONTROL)
    keys = pd.MultiIndex.from_arrays([truth.contexts, [arm] * len(labels), labels])
    return table.loc[keys, list(genes)].to_numpy(dtype=np.float64)


def _evaluate(
    truth: Truth, target: Side, output: Side, reference: np.ndarray, ok: np.ndarray, *, start: np.ndarray | None = None
) -> Values:
    """Compute every metric; conditions that are not ok hold no meaningful value."""
    start = truth.start if start is None else start
    t, p = target.profiles, output.profiles
    pairs = {
        "profiles": (t, p),
        "changes": (t - reference, p - start),
        "shared changes": (t - truth.shared, p - truth.shared),
    }
    found: dict[str, tuple[np.ndarray, list[str]]] = {}
    for metric in METRICS:
        if metric.needs in pairs:
            found[metric.name] = (metric.fn(*pairs[metric.needs]), ["ok"] * len(t))
        elif metric.needs == "retrieval" and truth.direction == "n2p":
            found[metric.name] = _retrieval(metric, truth, *pairs["changes"], ok)
        elif metric.needs == "cells":
            found[metric.name] = _distances(truth, target, output)
    margin = copy_margin(t, p, truth.start)
    sides = {"tp": (t, p), "ip": (truth.start, p), "it": (truth.start, t)}
    for metric in METRICS:
        if metric.name.startswith("sim_"):
            found[metric.name] = (metric.fn(*sides[metric.name.split("_")[1]]), ["ok"] * len(t))
    found["copy_margin"] = (margin, ["ok"] * len(t))
    found["copies_input"] = (copies_input(margin, truth.bound), ["ok"] * len(t))
    return found


def _retrieval(
    metric: Metric, truth: Truth, delta: np.ndarray, delta_hat: np.ndarray, ok: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Score retrieval context by context; the candidates are all test conditions of the context."""
    values, status = np.full(len(delta), np.nan), ["too_few_conditions"] * len(delta)
    for context in np.unique(truth.contexts):
        here = np.flatnonzero(truth.contexts == context)
        if len(here) >= MIN_CONDITIONS:
            # a condition without a prediction has no change to place, but its truth stays a candidate
            values[here] = metric.fn(delta[here], np.where(ok[here, None], delta_hat[here], 0.0))
            for i in here:
                status[i] = "ok"
    return values, status


def _distances(truth: Truth, target: Side, output: Side) -> tuple[np.ndarray, list[str]]:
    values, status = np.full(len(target.cells), np.nan), ["needs_cells"] * len(target.cells)
    for number, (x, y) in enumerate(zip(target.cells, output.cells, strict=True)):
        if x is not None and y is not None:
            generator = np.random.default_rng(
                derive(truth.seed, "e_distance", truth.contexts[number], truth.perturbations[number])
            )
            values[number], status[number] = e_distance(*equal_sizes(x, y, generator)), "ok"
    return values, status


def _rows(truth: Truth, values: Values, endings: Sequence[Ending]) -> pd.DataFrame:
    """Lay values out as tidy rows; a condition that did not end ok has its status, its reason and no value."""
    tables = []
    for name, (value, status) in values.items():
        states = [e.status if e.status != "ok" else s for e, s in zip(endings, status, strict=True)]
        reasons = [WHY[s] if e.status == "ok" and s in WHY else e.reason for e, s in zip(endings, status, strict=True)]
        tables.append(
            pd.DataFrame(
                {
                    "context": truth.contexts,
                    "perturbation": truth.perturbations,
                    "metric": name,
                    "value": np.where([s == "ok" for s in states], value, np.nan),
                    "status": states,
                    "reason": reasons,
                    "n_truth_cells": truth.n_cells,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _halve(
    matrices: Sequence[np.ndarray], projected: Sequence[np.ndarray], generator: np.random.Generator
) -> tuple[Side, Side]:
    """Split every condition's cells in two disjoint random halves."""
    orders = [generator.permutation(len(m)) for m in matrices]
    cuts = [(o[: len(o) // 2], o[len(o) // 2 :]) for o in orders]
    sides = [
        Side(
            np.stack([m[c[side]].mean(axis=0) for m, c in zip(matrices, cuts, strict=True)]),
            [z[c[side]] for z, c in zip(projected, cuts, strict=True)],
        )
        for side in (0, 1)
    ]
    return sides[0], sides[1]


def _mean(cells: AnnData, positions: np.ndarray) -> np.ndarray:
    return np.asarray(cells.X[positions].astype(np.float64).mean(axis=0)).ravel()
