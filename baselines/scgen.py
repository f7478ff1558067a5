"""scGen: a variational autoencoder; the effect of a perturbation is one difference vector in its latent space.

The package `scgen` trains and predicts; this file prepares its cells and chooses those the difference is taken from.
scgen 2.1.0 runs on scvi-tools >= 1.4 with three changes, none of which stays in scvi: `scvi._compat` is provided for the
import (scgen takes only `Literal` from it), `LossRecorder` is an alias of `LossOutput`, and the posterior is also returned
under the keys `qzm` and `qzv`, which scvi reads.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pandas as pd

from baselines.shared.settings import checked
from baselines.shared.states import contexts_with_both, labelled_copy, labels_of, start_and_end
from baselines.shared.training import seeded_and_quiet, training_and_validation_cells, training_arguments
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

MONITOR = "reconstruction_loss_validation"
"""What early stopping watches. scvi's default, the ELBO, counts the KL divergence 20,000 times heavier than the loss
does: it rises from the first epochs on, and ends a small data set's training as soon as the patience is over."""


@dataclass
class ScGen:
    """One network for all contexts; a query adds to its cells the mean latent change seen in the training contexts.

    The change is taken only from contexts that have training cells in both states. With the package's default, `all`,
    the side that is present everywhere (the controls) would also hold contexts where the other is missing, and the
    vector would carry the difference between contexts besides the perturbation. Values are as decoded, not clipped at 0.

    All training cells are in memory: the package would train from a file (a backed AnnData), but its `predict` selects cells of
    the AnnData that it was trained on twice over, which anndata refuses for one on disk.

    Source
    ------
    Lotfollahi, Wolf, Theis, Nature Methods 16, 715-721 (2019), doi:10.1038/s41592-019-0494-8; training length from
    docs/tutorials/scgen_perturbation_prediction.ipynb of github.com/theislab/scgen.
    """

    epochs: int = 100
    """Most passes over the training cells; 100 in the authors' tutorial."""
    batch_size: int = 32
    """Cells per step; 32 in the authors' tutorial."""
    patience: int = 25
    """Epochs without a lower reconstruction error on a tenth of the training cells, after which training stops; 25 in
    the authors' tutorial."""
    __post_init__ = checked(epochs=1, batch_size=2, patience=1)

    def fit(self, train: Train, *, seed: int) -> None:
        labels = labels_of(train.cells.obs)
        states = set(labels["state"])
        if len(states) < 2 or CONTROL not in states:
            raise Unsupported(f"scGen needs control and perturbed training cells; these are all {sorted(states)}.")
        cells = labelled_copy(train.cells, labels)
        parts = training_and_validation_cells(cells.n_obs, self.batch_size, seed)
        with seeded_and_quiet(seed, train.report) as report:
            package = _import_scgen().SCGEN
            package.setup_anndata(cells, batch_key="state", labels_key="context")
            self._model = package(cells)
            self._model.train(
                batch_size=self.batch_size,
                datasplitter_kwargs={"external_indexing": parts},
                early_stopping=True,
                early_stopping_monitor=MONITOR,
                early_stopping_patience=self.patience,
                **training_arguments(train, report, self.epochs, MONITOR),
            )

    def predict(self, query: Query) -> Prediction:
        start, end = start_and_end(query)
        seen = set(zip(*(self._model.adata.obs[name] for name in ("state", "context")), strict=True))
        contexts = contexts_with_both(seen, start, end)
        known = query.context in {context for _, context in seen}
        # The network reads neither label: for an unseen context any registered one will do.
        labels = {"state": start, "context": query.context if known else contexts[0]}
        cells = labelled_copy(query.cells, pd.DataFrame(labels, index=query.cells.obs_names))
        with seeded_and_quiet(query.seed):
            predicted, _ = self._model.predict(
                ctrl_key=start, stim_key=end, adata_to_predict=cells, restrict_arithmetic_to={"context": contexts}
            )
            self._model.deregister_manager()  # or scvi keeps every AnnData it has seen
        note = "" if known else f"context '{query.context}' not in training: effect taken from the others"
        return Prediction(predicted.X, unit="cell", note=note)

    def save(self, folder: Path) -> None:
        with seeded_and_quiet():
            self._model.save(folder, overwrite=True, save_anndata=True)

    def load(self, folder: Path) -> None:
        with seeded_and_quiet():
            self._model = _import_scgen().SCGEN.load(folder, accelerator="cpu")


def _import_scgen() -> ModuleType:
    """Import the package `scgen`, mended: what it misses in scvi is there for the time of the import."""
    if "scgen" in sys.modules:
        return sys.modules["scgen"]
    compat: Any = ModuleType("scvi._compat")
    compat.Literal = Literal
    with seeded_and_quiet():
        import scvi.module.base

        sys.modules["scvi._compat"] = compat
        scvi.module.base.LossRecorder = scvi.module.base.LossOutput
        try:
            import scgen
            from scgen._scgenvae import SCGENVAE
        finally:
            del sys.modules["scvi._compat"], scvi.module.base.LossRecorder
    encode = SCGENVAE.inference

    def inference(self: Any, x: Any) -> dict[str, Any]:
        outputs = encode(self, x)
        return {**outputs, "qzm": outputs["qz_m"], "qzv": outputs["qz_v"]}

    SCGENVAE.inference = inference
    return scgen


BASELINE = Baseline(
    name="scgen",
    build=ScGen,
    directions=("n2p", "p2n"),
    summary="Variational autoencoder; adds the mean latent difference between perturbed and control training cells.",
    source="doi:10.1038/s41592-019-0494-8",
    limits="Knows only perturbations (and doses) that have training cells in some context; keeps all training cells in memory.",
    licence="GPL-3.0",
    quick={"epochs": 40, "batch_size": 256},
    full_training={"epochs": 100},
    resources={"memory_gb": 16, "gpus": 1, "hours": 8},
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="no"),
)
