"""Copy me: a complete predictor. Rename the file, the class and the record; the file's name is the model's name.

Try it:  python -m benchmarks.check baselines/my_model.py
Run it:  python -m benchmarks.run --suite cropseq --models my_model
"""

import numpy as np

from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train


class MeanShift:
    """Add the mean difference between perturbed and control training cells, times `strength`."""

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def fit(self, train: Train, *, seed: int) -> None:
        labels, means = train.profiles.labels, train.profiles.mean
        control = (labels["perturbation"] == CONTROL).to_numpy()
        n_cells = labels["n_cells"].to_numpy()
        perturbed, controls = (np.average(means[own], axis=0, weights=n_cells[own]) for own in (~control, control))
        self.shift = perturbed - controls

    def predict(self, query: Query) -> Prediction:
        sign = 1.0 if query.direction == "n2p" else -1.0
        profile = np.asarray(query.cells.X.mean(axis=0)).ravel()
        return Prediction(profile + sign * self.strength * self.shift, unit="mean")


BASELINE = Baseline(
    name="_template",
    build=MeanShift,
    directions=("n2p", "p2n"),
    summary="Input mean plus the mean effect of all training perturbations.",
    source="this file",
    needs="profiles",  # means and variances; "blocks" (train.take, train.batches) or "cells" (train.cells): single cells
    can=Can(unseen_perturbation="ignored", unseen_context="ignored", combination="ignored", dose="ignored"),
)
