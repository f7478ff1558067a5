"""The same perturbation's mean effect in the other contexts."""

from baselines._effects import effects, shifted
from benchmarks.contract import Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported


class ContextTransfer:
    """Move the input cells by the perturbation's mean effect over the other contexts it was seen in."""

    def fit(self, train: Train, *, seed: int) -> None:
        self.effects = effects(train)

    def predict(self, query: Query) -> Prediction:
        table = self.effects
        rows = table[
            (table.index.get_level_values("perturbation") == query.perturbation)
            & (table.index.get_level_values("context") != query.context)
        ]
        if rows.empty:
            raise Unsupported(f"{query.perturbation} was trained on in no context but {query.context}")
        return shifted(query, rows.mean(axis=0).to_numpy(), f"from {', '.join(rows.index.get_level_values('context'))}")


BASELINE = Baseline(
    name="context_transfer",
    build=ContextTransfer,
    directions=("n2p", "p2n"),
    summary="Input plus the same perturbation's mean effect in the other contexts.",
    source="docs/decisions/splits.md",
    limits="The perturbation must have been trained on in another context.",
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="ignored"),
)
