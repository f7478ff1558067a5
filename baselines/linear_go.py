"""The linear baseline with gene annotation as the embedding of perturbations, which covers unseen ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from baselines.shared.annotation import marked, term_matrix
from baselines.shared.effects import ContextModels, effects, shifted
from baselines.shared.settings import checked
from benchmarks.contract import Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

Model = tuple[np.ndarray, np.ndarray, sp.csr_matrix]


@dataclass
class LinearGo:
    """Bilinear model of changes between principal components of the changes and annotation terms, one per context.

    Y = training changes [gene, perturbation], b their mean over perturbations, A = first K principal components of Y − b
    [gene, component], B = annotation of the perturbed genes [term, perturbation], and
    W = (AᵀA + λI)⁻¹ Aᵀ (Y − b) Bᵀ (BBᵀ + λI)⁻¹. A perturbation's change is A W b_p + b. There are many more terms than
    perturbations, so W is not formed: Bᵀ(BBᵀ + λI)⁻¹ = (BᵀB + λI)⁻¹Bᵀ needs the products of the columns of B alone.
    A gene's column has ln(genes / genes with the term) for each of its terms, scaled to length 1; a combination's is the
    sum of its parts'. A perturbation without a term in common with a training perturbation falls back to b, and the
    prediction says so.

    Source
    ------
    Ahlmann-Eltze, Huber & Anders, Nature Methods 22(8), 1657–1661, 2025, doi:10.1038/s41592-025-02772-6. Their
    linear model takes any embedding of perturbations; annotation terms and their weights are ours.
    """

    n_components: int = 10
    """K; the paper's 10."""
    ridge: float = 0.1
    """λ; the paper's 0.1."""
    __post_init__ = checked(n_components=1, positive=("ridge",))

    def fit(self, train: Train, *, seed: int) -> None:
        if not train.annotation:
            raise Unsupported("linear_go needs gene annotation (gene to terms); give one with --annotation FILE.")
        self.row, self.terms = weighted_terms(train.annotation)
        self.models = ContextModels(effects(train), self.n_components, self._fit_context)

    def predict(self, query: Query) -> Prediction:
        model, mean, note = self.models.of(query)
        if model is None:
            note = note or f"fewer than two annotated perturbations in {query.context}: mean effect"
            return shifted(query, mean, note)
        a, weights, known = model
        alike = (known @ self._embed([query.perturbation]).T).toarray().ravel()
        if not alike.any():
            return shifted(
                query, mean, f"{query.perturbation} shares no term with a training perturbation: mean effect"
            )
        return shifted(query, a @ (weights @ alike) + mean)

    def _fit_context(self, names: list[str], centred: np.ndarray, a: np.ndarray) -> Model | None:
        """A, coefficients [component, perturbation] and terms [perturbation, term] of one context."""
        b = self._embed(names)
        known = np.flatnonzero(np.diff(b.indptr))
        if not len(known):
            return None
        b = b[known]
        on_components = np.linalg.solve(a.T @ a + self.ridge * np.eye(a.shape[1]), a.T @ centred[:, known])
        gram = (b @ b.T).toarray() + self.ridge * np.eye(len(known))
        return a, np.linalg.solve(gram, on_components.T).T, b

    def _embed(self, perturbations: list[str]) -> sp.csr_matrix:
        """Columns of B as rows [perturbation, term]; an unknown gene adds nothing."""
        parts = [[self.row[part] for part in name.split("+") if part in self.row] for name in perturbations]
        embedding = marked(parts, self.terms.shape[0]) @ self.terms
        embedding.eliminate_zeros()
        return embedding


def weighted_terms(annotation: Mapping[str, frozenset[str]]) -> tuple[dict[str, int], sp.csr_matrix]:
    """Number the annotated genes, and weight their terms by how few genes have them.

    Returns gene → row, and the weights ln(genes / genes with the term) [gene, term], rows of length 1 (0 where all weights
    of a gene are 0).
    """
    genes = sorted(gene for gene, terms in annotation.items() if terms)
    terms = term_matrix(genes, annotation)[1].tocoo()
    weight = np.log(len(genes) / np.bincount(terms.col))[terms.col]
    length = np.sqrt(np.bincount(terms.row, weight**2))[terms.row]
    scaled = np.divide(weight, length, out=np.zeros(len(weight)), where=length > 0)
    rows = {gene: row for row, gene in enumerate(genes)}
    return rows, sp.csr_matrix((scaled, (terms.row, terms.col)), shape=terms.shape)


BASELINE = Baseline(
    name="linear_go",
    build=LinearGo,
    directions=("n2p", "p2n"),
    summary="Bilinear model between gene components and annotation terms of the perturbed gene, one per context.",
    source="Ahlmann-Eltze, Huber & Anders 2025, doi:10.1038/s41592-025-02772-6",
    limits="Needs gene annotation; a perturbation without a term in common with a trained one gets the mean effect.",
    needs="profiles",
    can=Can(unseen_perturbation="yes", unseen_context="fallback", combination="yes", dose="yes"),
)
