"""Gene modules as factors of the cells, and the effect of each perturbation on each factor: a simple relative of GSFA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from baselines.shared.annotation import term_matrix
from baselines.shared.components import components, relative_cells
from baselines.shared.effects import averaging, shifted
from baselines.shared.persistence import load_attributes, save_attributes
from baselines.shared.settings import checked
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

MIN_CELLS = 2
"""Fewest cells of a perturbation that estimate the spread within it."""
FREE = 1e-8
"""Penalty of the effect that all perturbations share, per perturbed cell: next to none."""


@dataclass
class GsfaLike:
    """Move the input cells by the perturbation's effect on the factors, times the factors' loadings on genes.

    Cells, relative to the mean training control of their context, are Y = Z L + noise: L are the first principal
    components [factor, gene]. The scores of the perturbed cells of all contexts are regressed on what was done to them,
    Z_ik = β_0k + Σ_parts β_pk + e_ik, with a ridge penalty λ_k = σ_k² / τ_k² on β_pk (none on β_0, what all perturbations
    do). σ_k² is the variance of scores within (context, perturbation), τ_k² that of the perturbations' mean scores beyond
    what σ_k² explains; a factor in which nothing is left of it gets no effect but β_0. The change is (β_0 + Σ β_p) L,
    the same in every context. A part that was never trained on adds nothing, and the prediction says so.

    Unlike GSFA, which samples factors, sparse loadings and sparse effects together from their joint posterior, factors
    are found without looking at the perturbations, loadings are dense, and effects are shrunk, not selected.

    Source
    ------
    Zhou, Luo, Liang, Chen & He, Nature Methods 20, 1693–1703, 2023, doi:10.1038/s41592-023-02017-4.
    """

    n_factors: int = 20
    """Factors, at most."""
    __post_init__ = checked(n_factors=1)
    save, load = save_attributes, load_attributes

    def fit(self, train: Train, *, seed: int) -> None:
        x, obs, controls, group = relative_cells(train)
        obs = obs[["context", "perturbation"]].astype(str)
        perturbed = (obs["perturbation"] != CONTROL).to_numpy()
        if not perturbed.any():
            raise Unsupported("no context has both perturbed training cells and controls to take them relative to")
        scores, _, self.loadings = components(x, controls.to_numpy(), group, self.n_factors, seed)
        self.parts, self.coefficients = factor_effects(scores[perturbed], obs[perturbed])

    def predict(self, query: Query) -> Prediction:
        if query.dose is not None or query.start_dose is not None:
            raise Unsupported(f"gsfa_like has no effects of doses; got {query.start_dose} to {query.dose} nM")
        parts = query.perturbation.split("+")
        unknown = [part for part in parts if part not in self.parts]
        rows = [0, *(1 + self.parts.index(part) for part in parts if part not in unknown)]
        effect = self.coefficients[rows].sum(axis=0) @ self.loadings
        what = "what all perturbations do" if len(unknown) == len(parts) else "left out of the sum"
        return shifted(query, effect, f"{' and '.join(unknown)} not trained on: {what}" if unknown else "")


def factor_effects(scores: np.ndarray, obs: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Regress the scores [cell, factor] of perturbed cells on the parts of their perturbations, penalised factor by factor.

    Returns names of the parts, and coefficients [1 + part, factor]; the first row is what all perturbations share.
    """
    names, parts = term_matrix(obs["perturbation"], {p: p.split("+") for p in obs["perturbation"].unique()})
    design = sp.hstack([np.ones((len(obs), 1)), parts], format="csr")
    gram, moments = (design.T @ design).toarray(), design.T @ scores
    noise, signal = _variances(scores, obs)
    coefficients = np.zeros((design.shape[1], scores.shape[1]))
    for k in range(scores.shape[1]):
        if signal[k] <= 0:
            coefficients[0, k] = scores[:, k].mean()
            continue
        penalty = np.full(design.shape[1], noise[k] / signal[k])
        penalty[0] = FREE * len(obs)
        coefficients[:, k] = np.linalg.solve(gram + np.diag(penalty), moments[:, k])
    return names, coefficients


def _variances(scores: np.ndarray, obs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Variance of scores within conditions, and of the conditions' means beyond what it explains [factor]."""
    condition = obs.groupby(["context", "perturbation"], sort=True).ngroup().to_numpy()
    counts = np.bincount(condition)
    means = averaging(condition) @ scores
    within = ((scores - means[condition]) ** 2).sum(axis=0)
    freedom = len(condition) - len(counts)
    several = counts >= MIN_CELLS
    if freedom < 1 or several.sum() < 2:
        return np.ones(scores.shape[1]), np.zeros(scores.shape[1])
    noise = within / freedom
    return noise, means[several].var(axis=0, ddof=1) - noise * (1.0 / counts[several]).mean()


BASELINE = Baseline(
    name="gsfa_like",
    build=GsfaLike,
    directions=("n2p", "p2n"),
    summary="Principal components of the cells as gene modules; perturbation → module by penalised regression.",
    source="after Zhou, Luo, Liang, Chen & He 2023, doi:10.1038/s41592-023-02017-4",
    limits="The same effect in every context, and only what the first components of the cells hold.",
    can=Can(unseen_perturbation="fallback", unseen_context="yes", combination="yes", dose="no"),
)
