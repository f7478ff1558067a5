"""Entropic optimal transport from cells in one state to cells in another, applied to new cells by barycentric projection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines.shared.components import components, relative_cells
from baselines.shared.effects import averaging
from baselines.shared.moved_cells import moved_cells
from baselines.shared.persistence import load_attributes, save_attributes
from baselines.shared.settings import checked
from baselines.shared.states import contexts_with_both, labels_of, start_and_end
from benchmarks.contract import Baseline, Can, Prediction, Query, Train
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

    Source
    ------
    Cuturi, NeurIPS 2013, arXiv:1306.0895 (entropic transport); Pooladian & Niles-Weed 2021, arXiv:2109.12004 (the map
    for new points); Feydy et al., AISTATS 2019, arXiv:1810.08278 (taking S off); the reference to controls and the change
    outside the components are ours. Plans by the package POT.
    """

    n_components: int = 50
    """Principal components."""
    epsilon: float = 0.05
    """Entropic regularisation ε, as a share of the mean cost between start and end cells."""
    debias: bool = True
    """Whether to take S off."""
    max_cells: int = 500
    """Most cells on either side of a plan, drawn with the query's seed; a plan takes their product in memory."""
    __post_init__ = checked(n_components=1, max_cells=1, positive=("epsilon",))
    save, load = save_attributes, load_attributes

    def fit(self, train: Train, *, seed: int) -> None:
        import ot  # noqa: F401 - a missing package is found here, before any query

        x, obs, self.controls, group = relative_cells(train)
        scores, _, self.loadings = components(x, self.controls.to_numpy(), group, self.n_components, seed)
        self.scores = scores.astype(np.float32)
        self.labels = labels_of(obs)
        levels = obs[["context", "perturbation"]].astype(str).assign(dose=obs["dose"].to_numpy(dtype=float))
        self.state = levels.groupby(list(levels), dropna=False, sort=True).ngroup().to_numpy()
        context = levels["context"].groupby(self.state).first()
        means = (averaging(self.state) @ x.astype(np.float64)).toarray()
        self.means = means - self.controls.loc[context].to_numpy()  # relative to controls [state, gene]

    def predict(self, query: Query) -> Prediction:
        if query.context not in self.controls.index:
            raise Unsupported(f"no training controls in context {query.context} to take cells relative to")
        states = start_and_end(query)
        contexts = contexts_with_both(set(self.labels.itertuples(index=False, name=None)), *states)
        if query.context in contexts:
            contexts = [query.context]
        note = "" if contexts == [query.context] else f"from {', '.join(contexts)}"
        inside = self.labels["context"].isin(contexts)
        start, end = (np.flatnonzero(inside & (self.labels["state"] == state)) for state in states)
        rng = np.random.default_rng(query.seed)
        source, target = (self.scores[self._draw(rows, rng)].astype(np.float64) for rows in (start, end))
        x = query.cells.X.toarray()
        z = (x - self.controls.loc[query.context].to_numpy()) @ self.loadings.T
        moved = entropic_map(source, target, z, self.epsilon)
        start_point = entropic_map(source, source, z, self.epsilon) if self.debias else z
        change = self._mean(end) - self._mean(start)
        outside = change - (change @ self.loadings.T) @ self.loadings
        own = (moved - start_point) @ self.loadings + outside
        return Prediction(moved_cells(x, own), unit="cell", note=note)

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
