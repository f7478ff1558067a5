"""The input cells as the prediction."""

from benchmarks.contract import Baseline, Can, Prediction, Query, Train


class NoChange:
    """Return the input cells."""

    def fit(self, train: Train, *, seed: int) -> None:
        """Learn nothing."""

    def predict(self, query: Query) -> Prediction:
        return Prediction(query.cells.X, unit="cell")


BASELINE = Baseline(
    name="no_change",
    build=NoChange,
    directions=("n2p", "p2n"),
    summary="The input cells, unchanged: what copying scores.",
    source="Ahlmann-Eltze, Huber & Anders 2025, doi:10.1038/s41592-025-02772-6",
    needs="profiles",
    can=Can(unseen_perturbation="ignored", unseen_context="ignored", combination="ignored", dose="ignored"),
)
