"""The same perturbation's mean effect in the other contexts."""

from __future__ import annotations

import pandas as pd

from baselines.shared.effects import ByStep, Step, effects, shifted, step_of
from benchmarks.contract import Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported


class ContextTransfer:
    """Move the input cells by the perturbation's mean effect over the other contexts it was seen in.

    Without training cells at the target dose, its last step below is used (from the next lower dose, or the controls, to
    the dose of the input).
    """

    def fit(self, train: Train, *, seed: int) -> None:
        self.effects = effects(train)
        self.changes = ByStep(self.effects, lambda table: table)

    def predict(self, query: Query) -> Prediction:
        rows, note = self._elsewhere(query, step_of(query)), ""
        if rows.empty and query.start_dose and query.dose:
            doses = self.effects.xs(query.perturbation, level="perturbation").index.get_level_values("dose")
            below = max((dose for dose in doses if dose < query.start_dose), default=None)
            rows = self._elsewhere(query, (below, query.start_dose))
            start = f"{below:g} nM" if below else "controls"
            note = f"; step from {start} to {query.start_dose:g} nM taken for the next"
        if rows.empty:
            raise Unsupported(f"{query.perturbation} was trained on in no context but {query.context}")
        contexts = ", ".join(rows.index.get_level_values("context"))
        return shifted(query, rows.mean(axis=0).to_numpy(), f"from {contexts}{note}")

    def _elsewhere(self, query: Query, step: Step) -> pd.DataFrame:
        table = self.changes.of(step)
        contexts, perturbations = map(table.index.get_level_values, ("context", "perturbation"))
        return table[(perturbations == query.perturbation) & (contexts != query.context)]


BASELINE = Baseline(
    name="context_transfer",
    build=ContextTransfer,
    directions=("n2p", "p2n"),
    summary="Input plus the same perturbation's mean effect in the other contexts.",
    source="docs/decisions/splits.md",
    limits="The perturbation must have been trained on in another context.",
    needs="profiles",
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="fallback"),
)
