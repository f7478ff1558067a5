"""scVI: latent arithmetic in the variational autoencoder of scvi-tools: encode, add the mean training change, decode."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from baselines.shared.persistence import load_attributes, save_attributes
from baselines.shared.settings import checked
from baselines.shared.states import contexts_with_both, labelled_copy, labels_of, start_and_end
from baselines.shared.training import seeded_and_quiet, training_and_validation_cells, training_arguments
from benchmarks.contract import Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

MONITOR = "reconstruction_loss_validation"
LIKELIHOOD: dict[str, Any] = {"gene_likelihood": "normal", "log_variational": False}
"""The harness gives logarithms, not counts, and no library size to turn them back with: a normal distribution about each
gene's logarithm, and no second logarithm before the encoder. Of the usual model that leaves the encoder, the decoder with its
shares of a cell's total (here: of its summed logarithms), and the latent space; the count noise it does not have."""


@dataclass
class ScVI:
    """One SCVI network for all contexts, trained without labels.

    A query's cells are encoded (mean of the posterior), moved by the latent difference of the two states' means, averaged
    over the contexts that have training cells in both states, each weighing the same, and decoded with their own totals.

    Source
    ------
    Lopez, Regier, Cole, Jordan, Yosef, Nature Methods 15, 1053-1058 (2018), doi:10.1038/s41592-018-0229-2, in scvi-tools
    (doi:10.1038/s41587-021-01206-w); the arithmetic is scGen's, doi:10.1038/s41592-019-0494-8.
    """

    epochs: int = 400
    """Passes over the training cells; 400 is the package's default below 20,000 cells."""
    batch_size: int = 128
    """Cells per step; 128 in the package."""
    __post_init__ = checked(epochs=1, batch_size=2)
    save, load = save_attributes, load_attributes

    def fit(self, train: Train, *, seed: int) -> None:
        from scvi.model import SCVI

        if train.space == "zscore":
            raise Unsupported("scVI decodes shares of a cell's total, and z-scores have none; use a logarithmic space.")
        _check_totals(train.cells.X)
        labels = labels_of(train.cells.obs)
        cells = labelled_copy(train.cells, labels)
        parts = training_and_validation_cells(cells.n_obs, self.batch_size, seed)
        with seeded_and_quiet(seed, train.report) as report:
            SCVI.setup_anndata(cells)
            model = SCVI(cells, **LIKELIHOOD)
            model.train(
                batch_size=self.batch_size,
                datasplitter_kwargs={"external_indexing": parts},
                check_val_every_n_epoch=1,
                **training_arguments(train, report, self.epochs, MONITOR),
            )
        self._module = model.module.cpu().eval()
        latent, _ = self._encode(cells.X)
        groups = labels.groupby(["state", "context"]).indices
        self._means = {group: latent[rows].mean(axis=0) for group, rows in groups.items()}

    def predict(self, query: Query) -> Prediction:
        import torch

        start, end = start_and_end(query)
        contexts = contexts_with_both(self._means, start, end)
        change = np.mean([self._means[end, c] - self._means[start, c] for c in contexts], axis=0)
        _check_totals(query.cells.X)
        latent, total = self._encode(query.cells.X)
        moved = torch.as_tensor(latent + change, dtype=torch.float32)
        with torch.no_grad():
            decoded = self._module.generative(moved, total, torch.zeros(len(moved), 1))["px"].mean
        known = query.context in {context for _, context in self._means}
        note = "" if known else f"context '{query.context}' not in training"
        return Prediction(decoded.numpy(), unit="cell", note=note)

    def _encode(self, x: sp.csr_matrix) -> tuple[np.ndarray, Any]:
        """Posterior means [cell, latent], float64, and the logarithm of each cell's total as a Torch tensor [cell, 1]."""
        import torch

        latents, totals = [], []
        with torch.no_grad():
            for first in range(0, x.shape[0], self.batch_size):
                block = torch.as_tensor(x[first : first + self.batch_size].toarray(), dtype=torch.float32)
                found = self._module.inference(block, torch.zeros(len(block), 1))
                latents.append(found["qz"].loc.double().numpy())
                totals.append(found["library"])
        return np.concatenate(latents), torch.cat(totals)


def _check_totals(x: sp.csr_matrix) -> None:
    """Raise `Unsupported` for cells without any value above 0: their total has no logarithm."""
    empty = int((np.asarray(x.sum(axis=1)).ravel() <= 0).sum())
    if empty:
        raise Unsupported(f"scVI scales each cell by its total, and {empty} of {x.shape[0]} cells have none.")


BASELINE = Baseline(
    name="scvi",
    build=ScVI,
    directions=("n2p", "p2n"),
    summary="Variational autoencoder (SCVI, normal likelihood on log values); adds the mean latent change of training.",
    source="doi:10.1038/s41592-018-0229-2",
    limits="Knows only perturbations (and doses) that have training cells in some context; no z-scores.",
    licence="BSD-3-Clause",
    quick={"epochs": 100},
    full_training={"epochs": 400},
    resources={"memory_gb": 16, "gpus": 1, "hours": 8},
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="no"),
)
