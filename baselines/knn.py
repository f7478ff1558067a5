"""The nearest neighbours' effects: the same perturbation in similar contexts, or similar perturbations in the same one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from baselines.shared.effects import ByStep, context_means, control_means, effects, mean_effect_of, shifted, step_of
from baselines.shared.settings import checked
from benchmarks.contract import Baseline, Can, Prediction, Query, Train

MIN_SHARED = 3
"""Training perturbations that two contexts must share to be compared by their effects."""


class Changes:
    """Training changes between two doses, and what they say of contexts and perturbations."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table, self.means = table, context_means(table)
        self._alike: dict[tuple[str, str], tuple[int, float]] = {}
        self._of_each: dict[str, pd.DataFrame] = {}

    def alike(self, context: str, other: str) -> tuple[int, float]:
        """Number of perturbations that two contexts share, and the cosine of their changes."""
        if (context, other) not in self._alike:
            own, theirs = self._of(context), self._of(other)
            shared = own.index.intersection(theirs.index)
            cosine = _cosine(own.loc[shared].to_numpy(), theirs.loc[shared].to_numpy())
            self._alike[context, other] = len(shared), cosine
        return self._alike[context, other]

    def of_each_perturbation(self, context: str) -> pd.DataFrame:
        """Changes of a context's perturbations; means over contexts where it has none."""
        if context not in self._of_each:
            own = self._of(context)
            self._of_each[context] = own if len(own) else self.table.groupby(level="perturbation").mean()
        return self._of_each[context]

    def _of(self, context: str) -> pd.DataFrame:
        return self.table[self.table.index.get_level_values("context") == context].droplevel("context")


@dataclass
class Knn:
    """Move the input cells by the weighted mean effect of the nearest training conditions.

    A condition (context c, perturbation p) that was trained on is its own neighbour. Else, where p was trained on in
    other contexts k, those are the neighbours: as near as the effects of the perturbations that c and k both trained on
    are alike (cosine over perturbations and genes), or, unless c shares at least 3 of them with every k, as their mean
    control profiles correlate (Pearson). Else the neighbours are the training perturbations of c (of all contexts, each
    meaned, where c has none), as near as the Jaccard index of their names and annotation terms with those of p; a
    combination has the names and terms of all its parts, and is the mean of its neighbours, not their sum.
    Of neighbours with a similarity above 0 the nearest are taken, weighted by it; without one the answer is the mean
    effect, and the prediction says so. Ties go to the name that sorts first.

    Source
    ------
    Cover & Hart, IEEE Transactions on Information Theory 13(1), 21–27, 1967, doi:10.1109/TIT.1967.1053964 (the rule of the
    nearest neighbours); what is near is ours.
    """

    n_neighbours: int = 3
    """Most neighbours to take."""
    __post_init__ = checked(n_neighbours=1)

    def fit(self, train: Train, *, seed: int) -> None:
        self.changes = ByStep(effects(train), Changes)
        self.controls = control_means(train)
        self.annotation = train.annotation

    def predict(self, query: Query) -> Prediction:
        context, perturbation, known = query.context, query.perturbation, self.changes.of(step_of(query))
        table = known.table
        if (context, perturbation) in table.index:
            return shifted(query, table.loc[(context, perturbation)].to_numpy())
        same = table[table.index.get_level_values("perturbation") == perturbation].droplevel("perturbation")
        if len(same):
            return self._answer(query, known, same, self._context_similarity(context, list(same.index), known))
        neighbours = known.of_each_perturbation(context)
        own = self._features(perturbation)
        similarity = np.array([jaccard(own, self._features(str(p))) for p in neighbours.index])
        return self._answer(query, known, neighbours, similarity)

    def _answer(self, query: Query, known: Changes, neighbours: pd.DataFrame, similarity: np.ndarray) -> Prediction:
        order = np.argsort(-similarity, kind="stable")[: self.n_neighbours]
        order = order[similarity[order] > 0]
        if not len(order):
            mean, note = mean_effect_of(query.context, known.means)
            return shifted(query, mean, "; ".join(filter(None, (note, "nothing similar was trained on: mean effect"))))
        effect = np.average(neighbours.iloc[order].to_numpy(), axis=0, weights=similarity[order])
        return shifted(query, effect, f"from {', '.join(map(str, neighbours.index[order]))}")

    def _context_similarity(self, context: str, others: list[str], known: Changes) -> np.ndarray:
        found = [known.alike(context, other) for other in others]
        if min(n_shared for n_shared, _ in found) >= MIN_SHARED:
            return np.array([cosine for _, cosine in found])
        if context not in self.controls.index:
            return np.ones(len(others))
        profile = self.controls.loc[context].to_numpy()
        return np.array([np.corrcoef(profile, self.controls.loc[other].to_numpy())[0, 1] for other in others])

    def _features(self, perturbation: str) -> frozenset[str]:
        parts = frozenset(perturbation.split("+"))
        return parts.union(*(self.annotation.get(part, frozenset()) for part in parts))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Share of the two sets' elements that are in both; the sets are not both empty."""
    return len(first & second) / len(first | second)


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / norm) if norm else 0.0


BASELINE = Baseline(
    name="knn",
    build=Knn,
    directions=("n2p", "p2n"),
    summary="Input plus the mean effect of the nearest contexts of the perturbation, or of the nearest perturbations.",
    source="Cover & Hart 1967, doi:10.1109/TIT.1967.1053964 (the rule)",
    limits="A perturbation that is new everywhere needs annotation terms in common with one trained on.",
    needs="profiles",
    can=Can(unseen_perturbation="yes", unseen_context="yes", combination="yes", dose="yes"),
)
