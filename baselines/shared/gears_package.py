"""The package `gears` (cell-gears 0.1.2) made to run offline, on cells that are all training cells.

Two silent faults raise here: training a perturbation as control, and keeping an untrained network. Each context and fold
needs a folder of its own, because the name of the package's co-expression file contains neither.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from baselines.shared.training import seeded_and_quiet
from benchmarks.contract import CONTROL
from benchmarks.errors import ContractError

if TYPE_CHECKING:
    from anndata import AnnData

PREDICTED_VALUES = 200_000
"""Cells × genes predicted at once: bounds the memory at about 1 GB."""


def condition_name(perturbation: str) -> str:
    """Name a perturbation as the package does: "ctrl", "A+ctrl" or "A+B"."""
    if perturbation == CONTROL:
        return "ctrl"
    return perturbation if "+" in perturbation else f"{perturbation}+ctrl"


def gears_cells(cells: AnnData) -> AnnData:
    """Copy the cells [cell, gene] into the form the package takes: a CSR matrix, and its names of columns."""
    from anndata import AnnData

    conditions = cells.obs["perturbation"].astype(str).map(condition_name)
    obs = pd.DataFrame({"condition": conditions.to_numpy(), "cell_type": "cells"}, index=cells.obs_names.copy())
    var = pd.DataFrame({"gene_name": cells.var_names.to_numpy()}, index=cells.var_names.copy())
    return AnnData(sp.csr_matrix(cells.X, dtype=np.float32, copy=True), obs=obs, var=var)


def prepare_data(cells: AnnData, validation: list[str], terms: Mapping[str, set[str]], folder: Path) -> Any:
    """Build the package's cell graphs of one context in `folder`, which must be of this context and fold alone.

    Raises `ContractError` for a perturbation that the package would train as control.
    """
    (folder / "gene2go_all.pkl").write_bytes(pickle.dumps(dict(terms)))  # found there, the package downloads none
    (folder / "genes.pkl").write_bytes(pickle.dumps(list(terms)))
    data = import_gears().PertData(str(folder), gene_set_path=str(folder / "genes.pkl"), default_pert_graph=False)
    data.new_data_process("cells", adata=cells)
    conditions = list(data.dataset_processed)
    for condition in conditions:
        genes = [gene for gene in condition.split("+") if gene != "ctrl"]
        graphs = data.dataset_processed[condition]
        if any([data.pert_names[n] for n in graph.pert_idx if n >= 0] != genes for graph in graphs):
            raise ContractError(
                f"gears: '{condition}' would be trained as control or as another gene; its genes are "
                "not all in the gene graph. Leave its cells out."
            )
    data.split, data.seed, data.train_gene_set_size = "no_test", 0, 1.0
    data.set2conditions = {"train": [c for c in conditions if c not in validation], "val": validation}
    return data


def load_cells(data: Any, batch_size: int, done: Callable[[int], None]) -> None:
    """Make the package's data loaders; `done(epoch)` is called at the end of every epoch.

    The package drops an incomplete last batch, so that a batch larger than the training set would train nothing.
    """
    n_cells = sum(len(data.dataset_processed[condition]) for condition in data.set2conditions["train"])
    data.get_dataloader(batch_size=min(batch_size, n_cells))
    data.dataloader["train_loader"] = AlternatePasses(data.dataloader["train_loader"], done)


class AlternatePasses:
    """A data loader whose every second pass is one batch long, and then reports.

    Each epoch the package trains in a first pass, and scores all training cells in a second, to print the score: with one
    batch of them it needs a fifth of the time less. A pass draws all of its random numbers before its first batch, so that
    the training is the same.
    """

    def __init__(self, loader: Collection[Any], done: Callable[[int], None]) -> None:
        self._loader, self._done, self._passes = loader, done, 0

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        self._passes += 1
        if self._passes % 2:
            yield from self._loader
        else:
            yield from islice(self._loader, 1)
            self._done(self._passes // 2)


def train_network(data: Any, gene_graph: tuple[Any, Any], epochs: int, device: str) -> Any:
    """Let the package train, and return the network of its best epoch.

    Raises `ContractError` where the package kept the untrained network, because no validation error was finite.
    """
    pd.Series.nonzero = lambda self: self.to_numpy().nonzero()  # it indexes a SciPy matrix with a boolean Series
    try:
        model = import_gears().GEARS(data, device=device)
    finally:
        del pd.Series.nonzero
    model.model_initialize(G_go=gene_graph[0], G_go_weight=gene_graph[1])
    untrained = model.best_model
    model.train(epochs=epochs)
    if all(old.equal(new) for old, new in zip(untrained.parameters(), model.best_model.parameters(), strict=True)):
        raise ContractError(
            "gears: the package kept its untrained network; no validation error was finite. Check the "
            "training cells of this context."
        )
    return model.best_model


def run_network(network: Any, x: sp.csr_matrix, nodes: list[int], device: str) -> np.ndarray:
    """Predict control cells [cell, gene] perturbed in the graph's `nodes`; returns [cell, gene]."""
    import torch

    n_cells, n_genes = x.shape
    size = max(1, PREDICTED_VALUES // n_genes)
    network.eval()
    predicted = []
    with torch.no_grad(), seeded_and_quiet():
        from torch_geometric.data import Data

        for start in range(0, n_cells, size):
            values = torch.as_tensor(sp.csr_matrix(x[start : start + size]).toarray(), dtype=torch.float32)
            batch = Data(
                x=values.reshape(-1, 1),
                pert_idx=[nodes] * len(values),
                batch=torch.arange(len(values)).repeat_interleave(n_genes),
            )
            predicted.append(network(batch.to(device)).cpu().numpy())
    return np.concatenate(predicted)


def import_gears() -> ModuleType:
    """Import the package; on import it seeds Torch, silences warnings and scanpy, which is all put back.

    It also imports dcor, for a score that is not used here; dcor compiles itself on import, for half a minute in a fresh
    environment. During the import a stand-in takes its place.
    """
    if "gears" in sys.modules:
        return sys.modules["gears"]
    stand_in: Any = ModuleType("dcor")
    stand_in.distance_correlation = None
    stands_in = sys.modules.setdefault("dcor", stand_in) is stand_in
    try:
        with seeded_and_quiet():
            import scanpy

            verbosity = scanpy.settings.verbosity
            import gears

            scanpy.settings.verbosity = verbosity
    finally:
        if stands_in:
            del sys.modules["dcor"]
    return gears
