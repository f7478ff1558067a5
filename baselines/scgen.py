"""scGen: a variational autoencoder; the effect of a perturbation is one difference vector in its latent space.

The package `scgen` trains and predicts; this file hands it cells and says which cells the difference is taken from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad

from baselines._global_seed import Report, seeded_and_quiet
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import ContractError, Unsupported

TRAINING_SHARE = 0.9
MONITOR = "reconstruction_loss_validation"
"""What early stopping watches. scvi's default, the ELBO, counts the KL divergence 20,000 times heavier than the loss
does: it rises from the first epochs on, and ends a small data set's training as soon as the patience is over."""
LOGGERS = ("lightning.pytorch", "lightning.fabric", "scvi", "scgen")


class ScGen:
    """One network for all contexts; a query adds to its cells the mean latent change seen in the training contexts.

    The change is taken only from contexts that have training cells in both states. With the package's default, `all`,
    the side that is present everywhere (the controls) would also hold contexts where the other is missing, and the
    vector would carry the difference between contexts besides the perturbation. Values are left as the decoder gives
    them: some are slightly negative, and clipping them would be a gift the package does not make.

    Parameters
    ----------
    epochs
        Most passes over the training cells; 100 in the authors' tutorial.
    batch_size
        Cells per step; 32 in the authors' tutorial.
    patience
        Epochs without a lower reconstruction error on a tenth of the training cells, after which training stops; 25 in
        the authors' tutorial.

    Raises
    ------
    ContractError
        A setting below 1 (batch_size below 2).

    Source
    ------
    Lotfollahi, Wolf, Theis, Nature Methods 16, 715-721 (2019), doi:10.1038/s41592-019-0494-8; training length from
    docs/tutorials/scgen_perturbation_prediction.ipynb of github.com/theislab/scgen.
    """

    def __init__(self, epochs: int = 100, batch_size: int = 32, patience: int = 25) -> None:
        for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 2), ("patience", patience, 1)):
            if value < least:
                raise ContractError(f"scgen: {name} is {value}; expected at least {least}.")
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience

    def fit(self, train: Train, *, seed: int) -> None:
        states = cell_states(train.cells.obs)
        if states.nunique() < 2 or CONTROL not in set(states):
            raise Unsupported(f"scGen needs control and perturbed training cells; these are all {states.unique()}.")
        cells = _bare_cells(train.cells, states.to_numpy(), train.cells.obs["context"].astype(str).to_numpy())
        parts = training_and_validation_cells(cells.n_obs, self.batch_size, seed)
        with _quiet_loggers(), seeded_and_quiet(seed, train.report) as report:
            self._model = _network(cells)
            self._model.train(
                max_epochs=self.epochs,
                batch_size=self.batch_size,
                datasplitter_kwargs={"external_indexing": parts},
                early_stopping=True,
                early_stopping_monitor=MONITOR,
                early_stopping_patience=self.patience,
                default_root_dir=str(train.workdir),
                enable_progress_bar=False,
                enable_checkpointing=False,
                callbacks=[_progress(report, self.epochs)],
                **_accelerator(train.device),
            )

    def predict(self, query: Query) -> Prediction:
        start, end = _start_and_end(query)
        contexts = self._contexts_with_both(start, end)
        trained = self._model.adata.obs["context"].cat.categories
        known = query.context in trained
        # The network reads neither label: for an unseen context any registered one will do.
        context = query.context if known else contexts[0]
        cells = _bare_cells(query.cells, np.full(query.cells.n_obs, start), np.full(query.cells.n_obs, context))
        with _quiet_loggers(), seeded_and_quiet(query.seed):
            predicted, _ = self._model.predict(
                ctrl_key=start, stim_key=end, adata_to_predict=cells, restrict_arithmetic_to={"context": contexts}
            )
            self._model.deregister_manager()  # scvi keeps every AnnData it has seen until told otherwise
        note = "" if known else f"context '{query.context}' not in training: effect taken from the others"
        return Prediction(predicted.X, unit="cell", note=note)

    def save(self, folder: Path) -> None:
        import torch

        obs = self._model.adata.obs
        cells = _bare_cells(self._model.adata, obs["perturbation"].to_numpy(), obs["context"].to_numpy())
        cells.write_h5ad(folder / "cells.h5ad")
        torch.save(self._model.module.state_dict(), folder / "weights.pt")

    def load(self, folder: Path) -> None:
        import torch

        with _quiet_loggers(), seeded_and_quiet(0):
            self._model = _network(read_h5ad(folder / "cells.h5ad"))
        self._model.module.load_state_dict(torch.load(folder / "weights.pt", map_location="cpu", weights_only=True))
        self._model.module.eval()
        self._model.is_trained_ = True

    def _contexts_with_both(self, start: str, end: str) -> list[str]:
        obs = self._model.adata.obs
        seen = {state: set(obs.loc[obs["perturbation"] == state, "context"]) for state in (start, end)}
        for state, contexts in seen.items():
            if not contexts:
                raise Unsupported(f"scGen knows only states it was trained on; no training cell is '{state}'.")
        if not seen[start] & seen[end]:
            raise Unsupported(
                f"scGen takes the change from contexts with training cells in both states; no context "
                f"has both '{start}' and '{end}'."
            )
        return sorted(seen[start] & seen[end])


def cell_states(obs: pd.DataFrame) -> pd.Series:
    """Name each cell's state [cell]: its perturbation, with the dose where there is one; "control" for controls."""
    names = obs["perturbation"].astype(str)
    if "dose" not in obs:
        return names
    return pd.Series([_state(p, d) for p, d in zip(names, obs["dose"], strict=True)], index=obs.index)


def _state(perturbation: str, dose: float | None) -> str:
    if dose is None or np.isnan(dose) or perturbation == CONTROL:
        return perturbation
    return f"{perturbation} at {float(dose)} nM"


def _start_and_end(query: Query) -> tuple[str, str]:
    """States of the query's cells and of the answer; the labels of the cells tell, else the direction does."""
    doses = query.start_dose, query.dose
    start, end = (_state(query.perturbation, dose) for dose in doses)
    if query.direction == "p2n":
        end = CONTROL
    elif query.start_dose is None:
        start = CONTROL
    if "perturbation" in query.cells.obs:
        states = cell_states(query.cells.obs).unique()
        if len(states) != 1:
            raise Unsupported(f"scGen moves cells of one state; the input cells are {', '.join(sorted(states))}.")
        start = str(states[0])
    if start == end:
        raise Unsupported(f"scGen tells states apart by perturbation and dose; input and target are both '{start}'.")
    return start, end


def training_and_validation_cells(n_cells: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Draw positions of nine tenths to train on and of the rest to validate on.

    scvi's own draw comes from the operating system unless its global seed is set. A last batch of one cell, which
    batch normalisation refuses, is put to the validation cells.
    """
    order = np.random.default_rng(seed).permutation(n_cells)
    n_train = int(np.ceil(TRAINING_SHARE * n_cells))
    n_train -= n_train % batch_size == 1
    return [order[:n_train], order[n_train:]]


def _bare_cells(cells: AnnData, states: np.ndarray, contexts: np.ndarray) -> AnnData:
    """Copy X and the two labels into a new object: scvi writes into what it registers, and allows that only once."""
    obs = pd.DataFrame(
        {"perturbation": pd.Categorical(states), "context": pd.Categorical(contexts)}, index=cells.obs_names.copy()
    )
    return AnnData(cells.X.copy(), obs=obs, var=pd.DataFrame(index=cells.var_names.copy()))


def _network(cells: AnnData) -> Any:
    from baselines._scgen_compat import import_scgen, name_posterior_for_scvi

    scgen = import_scgen()
    scgen.SCGEN.setup_anndata(cells, batch_key="perturbation", labels_key="context")
    model = scgen.SCGEN(cells)
    name_posterior_for_scvi(model.module)
    return model


def _progress(report: Report, epochs: int) -> Any:
    from lightning.pytorch.callbacks import LambdaCallback

    def on_train_epoch_end(trainer: Any, module: Any) -> None:
        loss = float(trainer.callback_metrics.get(MONITOR, np.nan))
        report(trainer.current_epoch + 1, epochs, f"validation loss {loss:.4g}")

    return LambdaCallback(on_train_epoch_end=on_train_epoch_end)


def _accelerator(device: str) -> dict[str, Any]:
    """Lightning's names for a Torch device."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return {"accelerator": "cpu", "devices": 1}
    return {"accelerator": "gpu" if kind == "cuda" else kind, "devices": [int(index or 0)]}


@contextmanager
def _quiet_loggers() -> Iterator[None]:
    """Let the loggers of the packages pass errors only."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


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
