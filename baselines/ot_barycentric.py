"""Entropic optimal transport from cells in one state to cells in another, applied to new cells by barycentric projection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from baselines.shared.components import components, relative_cells
from baselines.shared.persistence import load_attributes, save_attributes
from baselines.shared.settings import check_settings
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

MAX_ITERATIONS = 200
TOLERANCE = 1e-4
"""Sinkhorn's iterations end when the plan's marginals are off by less than this in all."""
BATCH = 1024
"""Query cells moved at a time: the costs of a batch to the target cells are held in memory."""


@dataclass
class OtBarycentric:
    """Move each input cell to where the entropic transport plan sends it, in principal components.

    Cells are taken relative to the mean training control of their context, as scores z on the first principal components
    of all training cells. For a query, the plan between the training cells in its start state and those in its end state
    (of the query's context where it has both, else of all contexts that have both) has squared Euclidean costs c and the
    potential g of the end cells; a new cell goes to T(z) = Σ_j w_j z_j, w_j ∝ exp(g_j − c(z, z_j) / ε), the entropic
    map, which equals the barycentric projection on the cells the plan was made from. T alone pulls cells towards the
    mean of the targets near them, and takes what sets the input cells apart from the training cells of the same state
    for a part of the change; so the map S of the start cells onto themselves, which does the same, is taken off. The
    answer is the input cell, plus T(z) − S(z) (without `debias` T(z) − z) back in genes, plus that part of the mean
    change between the states that lies outside the components.

    Parameters
    ----------
    n_components
        Principal components.
    epsilon
        Entropic regularisation ε, as a share of the mean cost between start and end cells.
    debias
        Whether to take S off.
    max_cells
        Most cells on either side of a plan, drawn with the query's seed; a plan takes their product in memory.

    Source
    ------
    Cuturi, NeurIPS 2013, arXiv:1306.0895 (entropic transport); Pooladian & Niles-Weed 2021, arXiv:2109.12004 (the map
    for new points); Feydy et al., AISTATS 2019, arXiv:1810.08278 (taking S off); the reference to controls and the change
    outside the components are ours. Plans by the package POT.
    """

    n_components: int = 50
    epsilon: float = 0.05
    debias: bool = True
    max_cells: int = 500

    def __post_init__(self) -> None:
        check_settings("ot_barycentric", self, n_components=1, max_cells=1, positive=("epsilon",))

    def fit(self, train: Train, *, seed: int) -> None:
        import ot  # noqa: F401 - a missing package is found here, before any query

        x, obs, self.controls, group = relative_cells(train)
        self.states = obs[["context", "perturbation"]].astype(str).assign(dose=obs["dose"].to_numpy(dtype=float))
        scores, _, self.loadings = components(x, self.controls.to_numpy(), group, self.n_components, seed)
        self.scores = scores.astype(np.float32)
        self.state, self.means = _state_means(x, self.states, self.controls)

    def predict(self, query: Query) -> Prediction:
        if query.context not in self.controls.index:
            raise Unsupported(f"no training controls in context {query.context} to take cells relative to")
        start, end, note = self._sides(query)
        rng = np.random.default_rng(query.seed)
        source, target = (self.scores[self._draw(rows, rng)].astype(np.float64) for rows in (start, end))
        x = query.cells.X.toarray()
        z = (x - self.controls.loc[query.context].to_numpy()) @ self.loadings.T
        moved = entropic_map(source, target, z, self.epsilon)
        start_point = entropic_map(source, source, z, self.epsilon) if self.debias else z
        change = self._mean(end) - self._mean(start)
        outside = change - (change @ self.loadings.T) @ self.loadings
        return Prediction(x + (moved - start_point) @ self.loadings + outside, unit="cell", note=note)

    def save(self, folder: Path) -> None:
        save_attributes(self, folder)

    def load(self, folder: Path) -> None:
        load_attributes(self, folder)

    def _sides(self, query: Query) -> tuple[np.ndarray, np.ndarray, str]:
        """Training cells in the states of the query's cells and of its answer, and where they are from."""
        given = query.cells.obs.iloc[0]
        to_controls = query.direction == "p2n" and query.dose is None
        start = self._in_state(str(given["perturbation"]), given["dose"])
        end = self._in_state(*(CONTROL, None) if to_controls else (query.perturbation, query.dose))
        contexts = self.states["context"].to_numpy()
        both = sorted(set(contexts[start]) & set(contexts[end]))
        if not both:
            target = CONTROL if to_controls else query.perturbation
            raise Unsupported(f"no context has training cells of both {given['perturbation']} and {target}")
        if query.context in both:
            both = [query.context]
        inside = np.isin(contexts, both)
        note = "" if both == [query.context] else f"from {', '.join(both)}"
        return np.flatnonzero(start & inside), np.flatnonzero(end & inside), note

    def _in_state(self, perturbation: str, dose: float | None) -> np.ndarray:
        found = (self.states["perturbation"] == perturbation).to_numpy()
        if dose is None or np.isnan(dose) or perturbation == CONTROL:
            return found
        return found & (self.states["dose"] == dose).to_numpy()

    def _draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.sort(rng.choice(rows, self.max_cells, replace=False)) if len(rows) > self.max_cells else rows

    def _mean(self, rows: np.ndarray) -> np.ndarray:
        """Mean profile of training cells relative to their controls [gene]."""
        return np.bincount(self.state[rows], minlength=len(self.means)) @ self.means / len(rows)


def entropic_map(source: np.ndarray, target: np.ndarray, points: np.ndarray, epsilon: float) -> np.ndarray:
    """Send points along the entropic transport from source to target, all [point, component].

    `epsilon` is the regularisation as a share of the mean cost; costs are squared Euclidean distances.
    """
    import ot

    cost = ot.dist(source, target)
    reg = epsilon * max(float(cost.mean()), np.finfo(float).tiny)
    uniform = (np.full(len(side), 1 / len(side)) for side in (source, target))
    _, log = ot.bregman.sinkhorn_log(
        *uniform, cost, reg, numItermax=MAX_ITERATIONS, stopThr=TOLERANCE, log=True, warn=False
    )
    moved = np.empty_like(points)
    for first in range(0, len(points), BATCH):
        exponent = log["log_v"] - ot.dist(points[first : first + BATCH], target) / reg
        weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        moved[first : first + BATCH] = weights @ target / weights.sum(axis=1, keepdims=True)
    return moved


def _state_means(x: sp.csr_matrix, states: pd.DataFrame, controls: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Number each cell's (context, perturbation, dose), and mean these relative to their controls [state, gene]."""
    state = states.groupby(["context", "perturbation", "dose"], dropna=False, sort=True).ngroup().to_numpy()
    counts = np.bincount(state)
    mean = sp.csr_matrix((1.0 / counts[state], (state, np.arange(len(state)))), shape=(len(counts), len(state)))
    context = states["context"].groupby(state).first()
    return state, (mean @ x.astype(np.float64)).toarray() - controls.loc[context].to_numpy()


BASELINE = Baseline(
    name="ot_barycentric",
    build=OtBarycentric,
    directions=("n2p", "p2n"),
    summary="Entropic optimal transport between training cells of the two states, in principal components.",
    source="Cuturi 2013, arXiv:1306.0895; Pooladian & Niles-Weed 2021, arXiv:2109.12004; package POT",
    limits="Knows only states (perturbation, dose, combination) that have training cells in some context.",
    licence="MIT",
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="no"),
    extra="ot",
)
