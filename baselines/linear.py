"""A bilinear model of changes between gene and perturbation embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines.shared.effects import ContextModels, effects, shifted
from benchmarks.contract import Baseline, Can, Prediction, Query, Train


@dataclass
class Linear:
    """Bilinear model of changes between gene and perturbation embeddings, one per context (and pair of doses).

    Y = training changes [gene, perturbation], b their mean over perturbations, A = first K principal components of Y − b
    [gene, component], B = the rows of A of the perturbed genes [component, perturbation], and
    W = (AᵀA + λI)⁻¹ Aᵀ (Y − b) Bᵀ (BBᵀ + λI)⁻¹. A perturbation's change is A W b_p + b; one without an embedding (a gene
    that is not measured) falls back to b, and the prediction says so. A combination's embedding is the sum of its parts'.

    Source
    ------
    Ahlmann-Eltze, Huber & Anders, Nature Methods 22(8), 1657–1661, 2025, doi:10.1038/s41592-025-02772-6.
    """

    n_components: int = 10
    """K; the paper's 10."""
    ridge: float = 0.1
    """λ; the paper's 0.1."""

    def fit(self, train: Train, *, seed: int) -> None:
        self.genes = {gene: i for i, gene in enumerate(train.genes)}
        self.models = ContextModels(effects(train), self.n_components, self._fit_context)

    def predict(self, query: Query) -> Prediction:
        model, mean, note = self.models.of(query)
        if model is None:
            return shifted(query, mean, note)
        a, weights = model
        embedding = self._embed(query.perturbation, a)
        if embedding is None:
            return shifted(query, mean, f"{query.perturbation} is not among the measured genes: mean effect")
        return shifted(query, a @ weights @ embedding + mean)

    def _fit_context(self, names: list[str], centred: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A and W of one context."""
        embeddings = {i: self._embed(name, a) for i, name in enumerate(names)}
        known = [i for i, embedding in embeddings.items() if embedding is not None]
        k = a.shape[1]
        if not known:
            return a, np.zeros((k, k))
        b, eye = np.stack([embeddings[i] for i in known], axis=1), self.ridge * np.eye(k)
        weights = np.linalg.solve(a.T @ a + eye, a.T @ centred[:, known] @ b.T) @ np.linalg.inv(b @ b.T + eye)
        return a, weights

    def _embed(self, perturbation: str, a: np.ndarray) -> np.ndarray | None:
        parts = perturbation.split("+")
        if any(part not in self.genes for part in parts):
            return None
        return a[[self.genes[part] for part in parts]].sum(axis=0)


BASELINE = Baseline(
    name="linear",
    build=Linear,
    directions=("n2p", "p2n"),
    summary="Bilinear model between gene and perturbation embeddings, ridge-regularised, one per context.",
    source="Ahlmann-Eltze, Huber & Anders 2025, doi:10.1038/s41592-025-02772-6",
    limits="Perturbed genes that are not measured get the mean effect.",
    needs="profiles",
    can=Can(unseen_perturbation="yes", unseen_context="fallback", combination="yes", dose="yes"),
)
