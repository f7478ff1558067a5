"""Effects that add: a combination is the sum of its parts, a perturbation in a new context the context's mean and its own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from baselines.shared.effects import ByStep, context_means, effects, mean_effect_of, shifted, step_of
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train


class Additive:
    """Move the input cells by the sum of the single perturbations' effects, never by an interaction.

    The effect of a single perturbation p in context c is its mean training change δ_cp where it was trained on there, and
    else m + t_c · (m_c − m) + s · r_p. m_c is the mean effect of the context's training perturbations and m that over
    contexts; r_p is the mean over the other contexts k of what p does beyond their mean effect, δ_kp − m_k.
    t_c in [0, 1] is the share of |m_c − m|² that the noise of the cells does not explain (the few training controls of a
    tested context are in all its changes); 0 where c has no training perturbation. s in [0, 1] is how much of what a
    perturbation does beyond the mean effect carries over from context to context: the slope of δ_cp − m_c on the r_p of
    the others, one number for all genes, 0 where no perturbation is in two contexts.
    A combination is always the sum of its parts, also where it was itself trained on. A part that was never trained on
    alone counts as the mean effect m + t_c · (m_c − m), and the prediction says so; with no part known that is taken once.

    Source
    ------
    Ahlmann-Eltze, Huber & Anders, Nature Methods 22(8), 1657–1661, 2025, doi:10.1038/s41592-025-02772-6 (additive model
    of combinations); the transfer between contexts is ours.
    """

    def fit(self, train: Train, *, seed: int) -> None:
        noise = cell_noise(train)
        self.singles = ByStep(effects(train), lambda table: SingleEffects(table, noise))

    def predict(self, query: Query) -> Prediction:
        singles = self.singles.of(step_of(query))
        mean, note = mean_effect_of(query.context, singles.means)
        if query.context in singles.shrunken.index:
            mean = singles.shrunken.loc[query.context].to_numpy()
        parts = query.perturbation.split("+")
        found = {part: singles.of(query.context, part, mean) for part in parts}
        unknown = [part for part in parts if found[part] is None]
        effect, place = mean, ""  # once, where no part is known
        if len(unknown) < len(parts):
            effect = np.sum([mean if found[part] is None else found[part] for part in parts], axis=0)
            place = " in its place"
        if unknown:
            note = "; ".join(filter(None, (note, f"{' and '.join(unknown)} not trained on: mean effect{place}")))
        return shifted(query, effect, note)


class SingleEffects:
    """Effects of single perturbations, from the training changes between two doses."""

    def __init__(self, table: pd.DataFrame, noise: pd.Series) -> None:
        self.table, self.means = table, context_means(table)
        self.shrunken = shrunken_means(self.means, noise)
        contexts = table.index.get_level_values("context")
        self.beyond = table - self.means.loc[contexts].to_numpy()
        self.carried = carry_over(self.beyond)

    def of(self, context: str, perturbation: str, mean: np.ndarray) -> np.ndarray | None:
        """Effect of one perturbation in a context whose mean effect is given; None where it was never trained on."""
        if (context, perturbation) in self.table.index:
            return self.table.loc[(context, perturbation)].to_numpy()
        elsewhere = self.beyond[self.beyond.index.get_level_values("perturbation") == perturbation]
        return None if elsewhere.empty else mean + self.carried * elsewhere.mean(axis=0).to_numpy()


def shrunken_means(means: pd.DataFrame, noise: pd.Series) -> pd.DataFrame:
    """Mean change of each context, moved towards the mean over contexts by the share that `cell_noise` explains."""
    away = means - means.mean(axis=0)
    own, n = noise.loc[means.index].to_numpy(), len(means)
    expected = (1 - 2 / n) * own + own.sum() / n**2  # of a mean less the mean over contexts, which holds it too
    found = (away**2).sum(axis=1).to_numpy()
    share = np.clip(1 - np.divide(expected, found, out=np.ones(n), where=found > 0), 0, 1)
    return means - away.mul(1 - share, axis=0)


def cell_noise(train: Train) -> pd.Series:
    """Noise variance of each context's mean change, summed over genes: all cells vary as its controls do (0 if it has one)."""
    labels = train.profiles.labels
    control = labels["perturbation"] == CONTROL
    n = labels[control].set_index("context")["n_cells"]
    n_perturbed = labels[~control].groupby("context")["n_cells"].sum().reindex(n.index, fill_value=0)
    spread = n * train.profiles.variance[control.to_numpy()].sum(axis=1)
    return spread / (n - 1).clip(1) * (1 / n + 1 / n_perturbed.clip(1))


def carry_over(beyond: pd.DataFrame) -> float:
    """Slope, in [0, 1], of changes less the mean change of their context on the perturbation's mean in other contexts."""
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


BASELINE = Baseline(
    name="additive",
    build=Additive,
    directions=("n2p", "p2n"),
    summary="Input plus the sum of single effects; in a new context the mean effect plus a shrunken effect of its own.",
    source="Ahlmann-Eltze, Huber & Anders 2025, doi:10.1038/s41592-025-02772-6",
    limits="Knows no interaction; a part that was never trained on alone counts as the mean effect.",
    needs="profiles",
    can=Can(unseen_perturbation="fallback", unseen_context="yes", combination="yes", dose="fallback"),
)
