"""The mean effect of all training perturbations of a context."""

from baselines.shared.effects import ByStep, context_means, effects, mean_effect_of, shifted, step_of
from benchmarks.contract import Baseline, Can, Prediction, Query, Train


class TrainMean:
    """Move the input cells by the mean effect of the context's training perturbations, between the same doses."""

    def fit(self, train: Train, *, seed: int) -> None:
        self.means = ByStep(effects(train), context_means)

    def predict(self, query: Query) -> Prediction:
        effect, note = mean_effect_of(query.context, self.means.of(step_of(query)))
        return shifted(query, effect, note)


BASELINE = Baseline(
    name="train_mean",
    build=TrainMean,
    directions=("n2p", "p2n"),
    summary="Input plus the mean effect of the context's training perturbations (of all contexts where it has none).",
    source="Ahlmann-Eltze, Huber & Anders 2025, doi:10.1038/s41592-025-02772-6",
    limits="Predicts the same change for every perturbation of a context.",
    needs="profiles",
    can=Can(unseen_perturbation="ignored", unseen_context="fallback", combination="ignored", dose="yes"),
)
