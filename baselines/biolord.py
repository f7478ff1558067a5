"""biolord: each cell's known attributes (perturbation, context) and its unknown rest, disentangled; attributes are swapped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from baselines.shared.scvi_training import quiet_training, read_weights, save_weights, training_arguments
from baselines.shared.settings import check_settings
from baselines.shared.states import cell_states, start_and_end
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import ContractError, Unsupported

if TYPE_CHECKING:
    pass

ATTRIBUTES = ("state", "context")
N_LATENT = 128
"""Length of a cell's code; the package's default."""
MONITOR = "reconstruction_loss"
ANSWERS = ("decoded", "moved")


@dataclass
class Biolord:
    """One network for all contexts: an embedding per state and context, and a free code per training cell.

    The package has no encoder, so new cells have no code. As its authors do, a prediction decodes training
    controls (here those of the query's context) with the perturbation's embedding in place of the control's, so the input
    cells choose nothing but the context. With answer "moved" the mean difference of these and of the same codes decoded in
    the input's state is added to the input cells.

    All training cells are trained on, for all epochs: the package's early stopping uses cells with untrained codes.

    Parameters
    ----------
    epochs
        Passes over the training cells; 500 at most in the authors' script for sci-Plex.
    batch_size
        Cells per step; 512 there.
    answer
        "decoded" or "moved".

    Source
    ------
    Piran, Cohen, Hoshen, Nitzan, Nature Biotechnology 42, 1678-1683 (2024), doi:10.1038/s41587-023-02079-x; training length
    and the use of controls from scripts/biolord/sciplex3 of github.com/nitzanlab/biolord_reproducibility.
    """

    epochs: int = 500
    batch_size: int = 512
    answer: str = "decoded"

    def __post_init__(self) -> None:
        check_settings("biolord", self, epochs=1, batch_size=2)
        if self.answer not in ANSWERS:
            raise ContractError(f"biolord: answer is '{self.answer}'; expected one of {', '.join(ANSWERS)}.")

    def fit(self, train: Train, *, seed: int) -> None:
        from anndata import AnnData
        from biolord import Biolord as Package

        obs = train.cells.obs
        labels = {"state": cell_states(obs).to_numpy(), "context": obs["context"].astype(str).to_numpy()}
        if CONTROL not in set(labels["state"]):
            raise Unsupported("biolord decodes the codes of training controls; there are none.")
        cells = AnnData(
            train.cells.X.copy(),
            obs=pd.DataFrame({k: pd.Categorical(v) for k, v in labels.items()}, index=train.cells.obs_names.copy()),
            var=pd.DataFrame(index=train.cells.var_names.copy()),
        )
        rows = np.random.default_rng(seed).permutation(cells.n_obs)
        rows = rows[: len(rows) - (len(rows) % self.batch_size == 1)]  # batch normalisation refuses a batch of one
        with quiet_training(seed, train.report) as report:
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
        self._categories = {name: list(map(str, cells.obs[name].cat.categories)) for name in ATTRIBUTES}
        controls = rows[labels["state"][rows] == CONTROL]
        self._controls = {str(c): controls[labels["context"][controls] == c] for c in np.unique(labels["context"])}

    def predict(self, query: Query) -> Prediction:
        if query.direction != "n2p":
            raise Unsupported("biolord cannot encode input cells: its answer to p2n would be its training controls.")
        start, end = start_and_end(query, "biolord")
        for state in (start, end):
            if state not in self._categories["state"]:
                raise Unsupported(f"biolord knows only states it was trained on; no training cell is '{state}'.")
        if not len(self._controls.get(query.context, ())):
            raise Unsupported(f"biolord decodes training controls of the context; '{query.context}' has none.")
        decoded = self._decode(query.context, end)
        if self.answer == "decoded":
            return Prediction(decoded, unit="cell")
        change = decoded.mean(axis=0) - self._decode(query.context, start).mean(axis=0)
        return Prediction(query.cells.X.toarray() + change, unit="cell")

    def save(self, folder: Path) -> None:
        save_weights(self._module, folder)
        np.savez(folder / "controls.npz", **self._controls)
        shape = {"n_genes": self._module.n_genes, "categories": self._categories}
        (folder / "shape.json").write_text(json.dumps(shape), encoding="utf-8")

    def load(self, folder: Path) -> None:
        shape = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
        self._categories = shape["categories"]
        with np.load(folder / "controls.npz") as stored:
            self._controls = dict(stored)
        weights = read_weights(folder)
        with quiet_training():
            self._module = _network(shape["n_genes"], weights, self._categories)
        self._module.load_state_dict(weights)
        self._module.eval()

    def _decode(self, context: str, state: str) -> np.ndarray:
        """Decode the codes of a context's training controls in a state: means [cell, gene]."""
        import torch

        codes = self._module.latent_codes.embedding.weight[torch.as_tensor(self._controls[context])]
        known = [self._embedding(*pair).expand(len(codes), -1) for pair in (("state", state), ("context", context))]
        with torch.no_grad():
            return self._module.generative(torch.cat([codes, *known], dim=1))["means"].numpy()

    def _embedding(self, attribute: str, name: str) -> Any:
        return self._module.categorical_embeddings[attribute].weight[[self._categories[attribute].index(name)]]


def _network(n_genes: int, weights: dict[str, Any], categories: dict[str, list[str]]) -> Any:
    """An untrained network of the shape of stored weights."""
    from biolord import BiolordModule

    return BiolordModule(
        n_genes=n_genes,
        n_samples=len(weights["latent_codes.embedding.weight"]),
        x_loc="X",
        ordered_attributes_map={},
        categorical_attributes_map={k: {c: i for i, c in enumerate(names)} for k, names in categories.items()},
        n_latent=N_LATENT,
    )


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
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="no"),
    extra="biolord",
)
