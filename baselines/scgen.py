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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from baselines.shared.global_seed import seeded_and_quiet
from baselines.shared.scvi_training import (
    quiet_training,
    read_weights,
    save_weights,
    training_and_validation_cells,
    training_arguments,
)
from baselines.shared.settings import check_settings
from baselines.shared.states import cell_states, contexts_with_both, start_and_end
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

if TYPE_CHECKING:
    from anndata import AnnData

MONITOR = "reconstruction_loss_validation"
"""What early stopping watches. scvi's default, the ELBO, counts the KL divergence 20,000 times heavier than the loss
does: it rises from the first epochs on, and ends a small data set's training as soon as the patience is over."""


@dataclass
class ScGen:
    """One network for all contexts; a query adds to its cells the mean latent change seen in the training contexts.

    The change is taken only from contexts that have training cells in both states. With the package's default, `all`,
    the side that is present everywhere (the controls) would also hold contexts where the other is missing, and the
    vector would carry the difference between contexts besides the perturbation. Values are as decoded, not clipped at 0.

    Parameters
    ----------
    epochs
        Most passes over the training cells; 100 in the authors' tutorial.
    batch_size
        Cells per step; 32 in the authors' tutorial.
    patience
        Epochs without a lower reconstruction error on a tenth of the training cells, after which training stops; 25 in
        the authors' tutorial.

    Source
    ------
    Lotfollahi, Wolf, Theis, Nature Methods 16, 715-721 (2019), doi:10.1038/s41592-019-0494-8; training length from
    docs/tutorials/scgen_perturbation_prediction.ipynb of github.com/theislab/scgen.
    """

    epochs: int = 100
    batch_size: int = 32
    patience: int = 25

    def __post_init__(self) -> None:
        check_settings("scgen", self, epochs=1, batch_size=2, patience=1)

    def fit(self, train: Train, *, seed: int) -> None:
        states = cell_states(train.cells.obs)
        if states.nunique() < 2 or CONTROL not in set(states):
            raise Unsupported(f"scGen needs control and perturbed training cells; these are all {states.unique()}.")
        cells = _bare_cells(train.cells, states.to_numpy(), train.cells.obs["context"].astype(str).to_numpy())
        parts = training_and_validation_cells(cells.n_obs, self.batch_size, seed)
        with quiet_training(seed, train.report) as report:
            self._model = _network(cells)
            self._model.train(
                batch_size=self.batch_size,
                datasplitter_kwargs={"external_indexing": parts},
                early_stopping=True,
                early_stopping_monitor=MONITOR,
                early_stopping_patience=self.patience,
                **training_arguments(train, report, self.epochs, MONITOR),
            )

    def predict(self, query: Query) -> Prediction:
        start, end = start_and_end(query, "scGen")
        seen = self._model.adata.obs.rename(columns={"perturbation": "state"})
        contexts = contexts_with_both(seen, start, end, "scGen")
        trained = self._model.adata.obs["context"].cat.categories
        known = query.context in trained
        # The network reads neither label: for an unseen context any registered one will do.
        context = query.context if known else contexts[0]
        cells = _bare_cells(query.cells, np.full(query.cells.n_obs, start), np.full(query.cells.n_obs, context))
        with quiet_training(query.seed):
            predicted, _ = self._model.predict(
                ctrl_key=start, stim_key=end, adata_to_predict=cells, restrict_arithmetic_to={"context": contexts}
            )
            self._model.deregister_manager()  # or scvi keeps every AnnData it has seen
        note = "" if known else f"context '{query.context}' not in training: effect taken from the others"
        return Prediction(predicted.X, unit="cell", note=note)

    def save(self, folder: Path) -> None:
        obs = self._model.adata.obs
        cells = _bare_cells(self._model.adata, obs["perturbation"].to_numpy(), obs["context"].to_numpy())
        cells.write_h5ad(folder / "cells.h5ad")
        save_weights(self._model.module, folder)

    def load(self, folder: Path) -> None:
        from anndata import read_h5ad

        with quiet_training():
            self._model = _network(read_h5ad(folder / "cells.h5ad"))
        self._model.module.load_state_dict(read_weights(folder))
        self._model.module.eval()
        self._model.is_trained_ = True


def _bare_cells(cells: AnnData, states: np.ndarray, contexts: np.ndarray) -> AnnData:
    """Copy X and the two labels into a new object: scvi writes into what it registers, and allows that only once."""
    from anndata import AnnData

    obs = pd.DataFrame(
        {"perturbation": pd.Categorical(states), "context": pd.Categorical(contexts)}, index=cells.obs_names.copy()
    )
    return AnnData(cells.X.copy(), obs=obs, var=pd.DataFrame(index=cells.var_names.copy()))


def _network(cells: AnnData) -> Any:
    scgen = _import_scgen()
    scgen.SCGEN.setup_anndata(cells, batch_key="perturbation", labels_key="context")
    model = scgen.SCGEN(cells)
    inference = model.module.inference

    def inference_with_both_names(x: Any) -> dict[str, Any]:
        outputs = inference(x)
        return {**outputs, "qzm": outputs["qz_m"], "qzv": outputs["qz_v"]}

    model.module.inference = inference_with_both_names
    return model


def _import_scgen() -> ModuleType:
    """Import the package `scgen`, with the two names it misses in scvi put in place for the time of the import."""
    if "scgen" in sys.modules:
        return sys.modules["scgen"]
    compat: Any = ModuleType("scvi._compat")
    compat.Literal = Literal
    with seeded_and_quiet(0):
        import scvi.module.base

        sys.modules["scvi._compat"] = compat
        scvi.module.base.LossRecorder = scvi.module.base.LossOutput
        try:
            import scgen
        finally:
            del sys.modules["scvi._compat"], scvi.module.base.LossRecorder
    return scgen


BASELINE = Baseline(
    name="scgen",
    build=ScGen,
    directions=("n2p", "p2n"),
    summary="Variational autoencoder; adds the mean latent difference between perturbed and control training cells.",
    source="doi:10.1038/s41592-019-0494-8",
    limits="Knows only perturbations (and doses) that have training cells in some context.",
    licence="GPL-3.0",
    quick={"epochs": 40, "batch_size": 256},
    full_training={"epochs": 100},
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="no"),
)
