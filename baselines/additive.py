"""Effects that add: a combination is the sum of its parts, a perturbation in a new context the context's mean and its own."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from baselines._effects import changes, effects, mean_effect_of, shifted, step_of
from benchmarks.contract import Baseline, Can, Prediction, Query, Train


class Additive:
    """Move the input cells by the sum of the single perturbations' effects, never by an interaction.

    The effect of a single perturbation p in context c is its mean training change δ_cp where it was trained on there, and
    else m_c + s · r_p: m_c is the mean effect of the context's training perturbations (of all contexts where it has none)
    and r_p the mean over the other contexts of what p does beyond their mean effect, δ_kp − m_k. The share s in [0, 1]
    shrinks r_p by how much of it carries over from context to context among the training perturbations: the slope of
    δ_cp − m_c on the r_p of the others, one number for all genes, 0 where no perturbation is in two contexts.
    A combination is always the sum of its parts, also where it was itself trained on. A part that was never trained on
    alone counts as the mean effect, and the prediction says so; with no part known the mean effect is taken once.

    Source
    ------
    Ahlmann-Eltze, Huber & Anders, Nature Methods 22(8), 1657–1661, 2025, doi:10.1038/s41592-025-02772-6 (additive model
    of combinations); the transfer between contexts is ours.
    """

    def fit(self, train: Train, *, seed: int) -> None:
        self.effects = effects(train)
        self.steps: dict[tuple, Step] = {}

    def predict(self, query: Query) -> Prediction:
        step = self._step(step_of(query))
        mean, note = mean_effect_of(query.context, step.changes)
        parts = query.perturbation.split("+")
        found = {part: step.single(query.context, part, mean) for part in parts}
        unknown = [part for part in parts if found[part] is None]
        if len(unknown) == len(parts):
            return shifted(query, mean, _join(note, f"{' and '.join(unknown)} not trained on: mean effect"))
        if unknown:
            note = _join(note, f"{' and '.join(unknown)} not trained on: mean effect in its place")
        effect = np.sum([mean if found[part] is None else found[part] for part in parts], axis=0)
        return shifted(query, effect, note)

    def _step(self, doses: tuple) -> "Step":
        """Work out once for each pair of doses that is asked about."""
        if doses not in self.steps:
            table = changes(self.effects, doses)
            beyond = table - table.groupby(level="context").transform("mean")
            self.steps[doses] = Step(table, beyond, carry_over(beyond))
        return self.steps[doses]


class Step(NamedTuple):
    """Changes from one dose to another (from controls, without doses); rows (context, perturbation), columns genes."""

    changes: pd.DataFrame
    beyond: pd.DataFrame
    """Changes less the mean change of their context."""
    share: float
    """s."""

    def single(self, context: str, perturbation: str, mean: np.ndarray) -> np.ndarray | None:
        """Effect of one perturbation, given the context's mean effect; None if it was never trained on alone."""
        if (context, perturbation) in self.changes.index:
            return self.changes.loc[(context, perturbation)].to_numpy()
        elsewhere = self.beyond[self.beyond.index.get_level_values("perturbation") == perturbation]
        return None if elsewhere.empty else mean + self.share * elsewhere.mean(axis=0).to_numpy()


def carry_over(beyond: pd.DataFrame) -> float:
    """Slope, in [0, 1], of what a perturbation does beyond the mean effect on its mean over the other contexts.

    Parameters
    ----------
    beyond
        Changes less the mean change of their context; rows (context, perturbation), columns genes.
    """
    codes, _ = pd.factorize(beyond.index.get_level_values("perturbation"))
    if not len(codes):
        return 0.0
    values, counts = beyond.to_numpy(), np.bincount(codes)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, codes, values)
    several = counts[codes] > 1
    others = (sums[codes] - values)[several] / (counts[codes][several, None] - 1)
    spread = float((others**2).sum())
    return float(np.clip((others * values[several]).sum() / spread, 0, 1)) if spread > 0 else 0.0


def _join(*notes: str) -> str:
    return "; ".join(filter(None, notes))


BASELINE = Baseline(
    name="additive",
    build=Additive,
    directions=("n2p", "p2n"),
    summary="Input plus the sum of single effects; in a new context the mean effect plus a shrunken effect of its own.",
    source="Ahlmann-Eltze, Huber & Anders 2025, doi:10.1038/s41592-025-02772-6",
    limits="Knows no interaction; a part that was never trained on alone counts as the mean effect.",
    can=Can(unseen_perturbation="fallback", unseen_context="yes", combination="yes", dose="ignored"),
)
