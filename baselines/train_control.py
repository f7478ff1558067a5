"""The training controls of the context, whatever the input."""

from benchmarks.contract import Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported


class TrainControl:
    """Return the context's training controls, 512 of them at most."""

    def fit(self, train: Train, *, seed: int) -> None:
        self.controls = train.controls

    def predict(self, query: Query) -> Prediction:
        own = (self.controls.obs["context"] == query.context).to_numpy()
        if not own.any():
            raise Unsupported(f"no training controls in context {query.context}")
        return Prediction(self.controls.X[own], unit="cell")


BASELINE = Baseline(
    name="train_control",
    build=TrainControl,
    directions=("p2n",),
    summary="The training controls of the context, whatever the input.",
    source="docs/decisions/metrics.md",
    limits="p2n only: for n2p it is no_change with other cells.",
    needs="profiles",
    can=Can(unseen_perturbation="ignored", unseen_context="yes", combination="ignored", dose="ignored"),
)
