"""biolord: each cell's known attributes (perturbation, context) and its unknown rest, disentangled; attributes are swapped."""

from dataclasses import dataclass

import numpy as np

from baselines.shared.moved_cells import moved_cells
from baselines.shared.persistence import load_attributes, save_attributes
from baselines.shared.settings import checked
from baselines.shared.states import labelled_copy, labels_of, start_and_end
from baselines.shared.training import seeded_and_quiet, training_arguments
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

ATTRIBUTES = ("state", "context")
N_LATENT = 128
"""Length of a cell's code; the package's default."""
MONITOR = "reconstruction_loss"


@dataclass
class Biolord:
    """One network for all contexts: an embedding per state and context, and a free code per training cell.

    The package has no encoder, so new cells have no code. As its authors do, a prediction decodes training
    controls (here those of the query's context) with the perturbation's embedding in place of the control's, so the input
    cells choose nothing but the context. With answer "moved" the mean difference of these and of the same codes decoded in
    the input's state is added to the input cells.

    All training cells are trained on, for all epochs: the package's early stopping uses cells with untrained codes.

    Source
    ------
    Piran, Cohen, Hoshen, Nitzan, Nature Biotechnology 42, 1678-1683 (2024), doi:10.1038/s41587-023-02079-x; training length
    and the use of controls from scripts/biolord/sciplex3 of github.com/nitzanlab/biolord_reproducibility.
    """

    epochs: int = 500
    """Passes over the training cells; 500 at most in the authors' script for sci-Plex."""
    batch_size: int = 512
    """Cells per step; 512 there."""
    answer: str = "decoded"
    """"decoded" or "moved"."""
    __post_init__ = checked(epochs=1, batch_size=2, answer=("decoded", "moved"))
    save, load = save_attributes, load_attributes

    def fit(self, train: Train, *, seed: int) -> None:
        from biolord import Biolord as Package

        labels = labels_of(train.cells.obs)
        if CONTROL not in set(labels["state"]):
            raise Unsupported("biolord decodes the codes of training controls; there are none.")
        cells = labelled_copy(train.cells, labels)
        rows = np.random.default_rng(seed).permutation(cells.n_obs)
        rows = rows[: len(rows) - (len(rows) % self.batch_size == 1)]  # batch normalisation refuses a batch of one
        with seeded_and_quiet(seed, train.report) as report:
            arguments = training_arguments(train, report, self.epochs, MONITOR)
            Package.setup_anndata(cells, categorical_attributes_keys=list(ATTRIBUTES))
            model = Package(cells, n_latent=N_LATENT, module_params={"seed": seed % 2**31})
            model.train_indices, model.valid_indices, model.test_indices = rows, rows[:0], rows[:0]
            model.train(
                batch_size=self.batch_size,
                early_stopping=False,
                limit_val_batches=0,
                device=arguments.pop("devices"),
                **arguments,
            )
        self._module = model.module.cpu().eval()
        self._categories = {name: list(cells.obs[name].cat.categories) for name in ATTRIBUTES}
        controls = labels.loc[rows]
        controls = controls[controls["state"] == CONTROL]
        self._controls = {context: found.index.to_numpy() for context, found in controls.groupby("context")}

    def predict(self, query: Query) -> Prediction:
        if query.direction != "n2p":
            raise Unsupported("biolord cannot encode input cells: its answer to p2n would be its training controls.")
        start, end = start_and_end(query)
        for state in (start, end):
            if state not in self._categories["state"]:
                raise Unsupported(f"biolord knows only states it was trained on; no training cell is '{state}'.")
        if query.context not in self._controls:
            raise Unsupported(f"biolord decodes training controls of the context; '{query.context}' has none.")
        decoded = self._decode(query.context, end)
        if self.answer == "decoded":
            return Prediction(decoded, unit="cell")
        change = decoded.mean(axis=0) - self._decode(query.context, start).mean(axis=0)
        return Prediction(moved_cells(query.cells.X, change), unit="cell")

    def _decode(self, context: str, state: str) -> np.ndarray:
        """Decode the codes of a context's training controls in a state: means [cell, gene]."""
        import torch

        codes = self._module.latent_codes.embedding.weight[torch.as_tensor(self._controls[context])]
        known = []
        for name, value in (("state", state), ("context", context)):
            embeddings = self._module.categorical_embeddings[name].weight
            known.append(embeddings[[self._categories[name].index(value)]].expand(len(codes), -1))
        with torch.no_grad():
            return self._module.generative(torch.cat([codes, *known], dim=1))["means"].numpy()


BASELINE = Baseline(
    name="biolord",
    build=Biolord,
    directions=("n2p",),
    summary="Decoder of a state, a context and a free code per cell; decodes training controls in the perturbed state.",
    source="doi:10.1038/s41587-023-02079-x",
    limits="Perturbations (and doses) with training cells, in contexts with training controls; the input cells are not used.",
    licence="BSD-3-Clause",
    quick={"epochs": 40, "batch_size": 64},
    full_training={"epochs": 500},
    resources={"memory_gb": 16, "gpus": 1, "hours": 8},
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="no"),
    extra="biolord",
)
