"""GEARS: a graph network on a gene graph that contains the perturbed gene; one model per context.

The package `gears` (cell-gears 0.1.2) builds the cell graphs, trains and keeps the best model. This file gives it the
training cells of one context at a time, the gene graph and a validation set, and runs the best model on the query's
own cells (the package's `predict` averages over random training controls, and caches).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from baselines.shared.annotation import term_matrix
from baselines.shared.gears_package import (
    condition_name,
    gears_cells,
    load_cells,
    prepare_data,
    run_network,
    train_network,
)
from baselines.shared.settings import checked
from baselines.shared.training import seeded_and_quiet
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

MIN_CELLS = 2
"""Fewest training cells of a condition: the package's t-test needs two."""
MIN_JACCARD = 0.1
N_NEIGHBOURS = 20
"""The gene graph has an edge, as in the package, above Jaccard 0.1, from the 20 nearest genes and the gene itself."""
VALIDATION_SHARE = 0.1
CONTROLS_PER_CONDITION = 4
"""Controls kept for every perturbed cell of a condition, where cells are limited."""


@dataclass
class Gears:
    """One GEARS model per context that has controls and at least two perturbations among the training cells.

    A tenth of a context's training perturbations (at least one) is its validation set: their cells choose the best
    epoch and are not trained on; a prediction for one of them says so. So do predictions of a context in which cells
    were left out: the package would train a perturbation that is missing from the graph as control.

    Source
    ------
    Roohani, Huang, Leskovec, Nature Biotechnology 42, 927-935 (2024), doi:10.1038/s41587-023-01905-6; training length
    from the README of github.com/snap-stanford/GEARS.
    """

    epochs: int = 20
    """Passes over the training cells; 20 in the authors' README."""
    batch_size: int = 32
    """Cells per step; 32 in the authors' README."""
    max_cells_per_condition: int | None = None
    """Training cells kept of a perturbation; None for all. Of controls, four times as many."""
    graph: str = "annotated"
    """Genes of the graph: "annotated", all genes that have annotation, so that an unmeasured target can be predicted,
    or "measured", only the measured and the trained ones among them, which is faster."""
    __post_init__ = checked(epochs=1, batch_size=2, max_cells_per_condition=MIN_CELLS, graph=("annotated", "measured"))

    def fit(self, train: Train, *, seed: int) -> None:
        if train.perturbation_type != "CRISPR":
            raise Unsupported(f"GEARS places perturbed genes in a gene graph; a {train.perturbation_type} is no gene.")
        if not train.annotation:
            raise Unsupported("GEARS needs gene annotation (gene to GO terms); give one with --annotation FILE.")
        genes = self._graph_genes(train)
        self._nodes = {gene: node for node, gene in enumerate(genes)}
        self._device = train.device
        parts = self._trainable_contexts(train.cells.obs, seed)
        if not parts:
            raise Unsupported(
                "GEARS needs a context with controls and two perturbations of annotated genes among the "
                f"training cells, {MIN_CELLS} cells of each; there is none."
            )
        gene_graph = similarity_graph(genes, train.annotation)
        terms = {gene: set(train.annotation[gene]) for gene in genes}
        self._models: dict[str, tuple[Any, list[str], str]] = {}  # network, conditions that chose its epoch, note
        for number, (context, (rows, note)) in enumerate(parts.items()):
            cells = gears_cells(train.cells[rows])
            validation = choose_validation(cells.obs["condition"].unique(), seed)

            def done(epoch: int, context: str = context, before: int = number * self.epochs) -> None:
                report(before + epoch, len(parts) * self.epochs, f"context {context}, epoch {epoch}")

            with (
                TemporaryDirectory(dir=train.workdir, prefix="gears_") as folder,
                seeded_and_quiet(seed, train.report) as report,
            ):
                data = prepare_data(cells, validation, terms, Path(folder))
                load_cells(data, self.batch_size, done)
                network = train_network(data, gene_graph, self.epochs, train.device)
            self._models[context] = network, validation, note

    def predict(self, query: Query) -> Prediction:
        problem = self._problem(query.perturbation)
        if query.direction != "n2p":
            raise Unsupported("GEARS predicts perturbed cells from controls (n2p) only.")
        if problem:
            raise Unsupported(f"GEARS cannot place perturbation '{query.perturbation}': {problem}.")
        if query.context not in self._models:
            raise Unsupported(
                f"GEARS has no model of context '{query.context}': it needs controls and two "
                "perturbations of annotated genes in that context among the training cells."
            )
        network, validation, note = self._models[query.context]
        nodes = [self._nodes[gene] for gene in query.perturbation.split("+")]
        if condition_name(query.perturbation) in validation:
            note = "; ".join(filter(None, (note, "its training cells served as validation only")))
        return Prediction(run_network(network, query.cells.X, nodes, self._device), unit="cell", note=note)

    def _graph_genes(self, train: Train) -> list[str]:
        """List the genes of the graph, sorted: the package numbers its nodes so."""
        genes = set(train.annotation)
        if self.graph == "measured":
            perturbed = {g for p in train.cells.obs["perturbation"].unique() for g in p.split("+")}
            genes &= set(train.cells.var_names) | perturbed
        return sorted(gene for gene in genes if train.annotation[gene])

    def _problem(self, perturbation: str) -> str:
        """Say why a perturbation has no place in the graph, or nothing."""
        genes = perturbation.split("+")
        if len(genes) > 2:
            return f"it is of {len(genes)} genes, and GEARS takes one or two"
        absent = [gene for gene in genes if gene not in self._nodes]
        return f"no annotation of {' and '.join(absent)} in the gene graph" if absent else ""

    def _trainable_contexts(self, obs: pd.DataFrame, seed: int) -> dict[str, tuple[np.ndarray, str]]:
        """Map each context that can be trained to its training cells' positions and a note on those left out."""
        rng = np.random.default_rng(seed)
        cells = obs[["context", "perturbation"]].astype(str).groupby(["context", "perturbation"]).indices
        parts = {}
        for context in sorted({context for context, _ in cells}):
            own = {name: rows for (inside, name), rows in sorted(cells.items()) if inside == context}
            kept = {
                name: rows
                for name, rows in own.items()
                if len(rows) >= MIN_CELLS and (name == CONTROL or not self._problem(name))
            }
            if CONTROL not in kept or len(kept) < 3:
                continue
            left_out = [len(rows) for name, rows in own.items() if name not in kept]
            note = (
                f"left out of training: {sum(left_out)} cells of {len(left_out)} perturbations (no place in the gene graph, "
                f"or fewer than {MIN_CELLS} cells)"
            )
            rows = np.sort(np.concatenate([self._at_most(rows, name, rng) for name, rows in kept.items()]))
            parts[context] = rows, note if left_out else ""
        return parts

    def _at_most(self, rows: np.ndarray, perturbation: str, rng: np.random.Generator) -> np.ndarray:
        if self.max_cells_per_condition is None:
            return rows
        most = self.max_cells_per_condition * (CONTROLS_PER_CONDITION if perturbation == CONTROL else 1)
        return rng.choice(rows, size=min(most, len(rows)), replace=False)


def choose_validation(conditions: Iterable[str], seed: int) -> list[str]:
    """Draw a tenth of the perturbed conditions, at least one; the others and the controls are trained on.

    Raises `Unsupported` for fewer than two: with controls only on either side the package would keep an untrained network,
    or train none.
    """
    perturbed = sorted(set(conditions) - {"ctrl"})
    if len(perturbed) < 2:
        raise Unsupported(f"GEARS needs two perturbations in a context, one to validate on; got {perturbed}.")
    size = max(1, round(VALIDATION_SHARE * len(perturbed)))
    return sorted(np.random.default_rng(seed).choice(perturbed, size=size, replace=False).tolist())


def similarity_graph(genes: list[str], annotation: Mapping[str, frozenset[str]]) -> tuple[Any, Any]:
    """Build the gene graph: each gene's 20 most similar genes and itself, by Jaccard similarity of their terms.

    Returns Torch tensors: edges from similar gene to gene, int64 [2, edge], and similarities, float32 [edge].
    """
    import torch

    _, has_term = term_matrix(genes, annotation)
    sizes = np.diff(has_term.indptr)
    edges, weights = [], []
    for start in range(0, len(genes), 512):
        shared = (has_term[start : start + 512] @ has_term.T).tocoo()
        target, source = shared.row + start, shared.col
        jaccard = shared.data / (sizes[target] + sizes[source] - shared.data)
        near = jaccard > MIN_JACCARD
        target, source, jaccard = target[near], source[near], jaccard[near]
        order = np.lexsort((source, -jaccard, target))
        target, source, jaccard = target[order], source[order], jaccard[order]
        first = np.searchsorted(target, target)  # of each target's run; ties go to the gene that sorts first
        nearest = np.arange(len(target)) - first <= N_NEIGHBOURS
        edges.append(np.stack([source[nearest], target[nearest]]))
        weights.append(jaccard[nearest])
    return (
        torch.as_tensor(np.concatenate(edges, axis=1), dtype=torch.long),
        torch.as_tensor(np.concatenate(weights), dtype=torch.float32),
    )


BASELINE = Baseline(
    name="gears",
    build=Gears,
    directions=("n2p",),
    summary="Graph network over co-expressed genes and a gene graph made from annotation; one model per context.",
    source="doi:10.1038/s41587-023-01905-6",
    limits="CRISPR perturbations of one or two annotated genes, in contexts with at least two training perturbations.",
    licence="MIT",
    quick={"epochs": 2, "max_cells_per_condition": 30, "graph": "measured"},
    full_training={"epochs": 20},
    resources={"memory_gb": 32, "gpus": 1, "hours": 24},
    can=Can(unseen_perturbation="yes", unseen_context="no", combination="yes", dose="no"),
)
