"""A gene network fitted on control cells, in which a knock-out spreads for a few steps: a plain relative of CellOracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from baselines.shared.components import components
from baselines.shared.effects import changes, control_means, effects, own_changes, shifted
from baselines.shared.persistence import load_attributes, save_attributes
from baselines.shared.settings import checked
from benchmarks.contract import Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

MIN_CONTROLS = 10
"""Fewest training controls to fit a network on."""
MIN_RAISED = 3
"""Fewest perturbations whose own gene is measured, to decide whether a screen activates."""


@dataclass(frozen=True)
class Network:
    """Ridge regression of every gene on all others, from the leading components of one context's controls.

    The covariance of the controls is S = V diag(e) Vᵀ + r (I − V Vᵀ): leading components, and the mean variance r of what
    they leave. With Θ = (S + λI)⁻¹, the ridge coefficient of gene j on gene i is −Θ_ij / Θ_ii, and Θ is proportional to
    I − V diag(d) Vᵀ with d = (e − r) / (e + λ): neither S nor Θ is formed, memory and time are genes × components.
    """

    loadings: np.ndarray
    """V, orthonormal [gene, component]."""
    kept: np.ndarray
    """d, in [0, 1) [component]."""
    control: np.ndarray
    """Mean control [gene], log2 units."""

    def step(self, change: np.ndarray) -> np.ndarray:
        """Answer of every gene to the change of all others [gene]."""
        own = (self.loadings**2) @ self.kept  # diagonal of V diag(d) Vᵀ
        return (self.loadings @ (self.kept * (change @ self.loadings)) - own * change) / (1 - own)

    def spread(self, genes: list[int], changes: list[float], n_steps: int) -> np.ndarray:
        """Hold genes at a change and let it spread [gene]; no gene falls below 0."""
        change = np.zeros(len(self.control))
        change[genes] = changes
        for _ in range(n_steps):
            change = np.maximum(self.step(change), -self.control)
            change[genes] = changes
        return change


@dataclass
class GrnPropagation:
    """Set the perturbed gene to 0 and spread its change through a network of each context's training controls.

    As in CellOracle a regularised linear regression on unperturbed cells is the network, the perturbed gene is held, the
    change passes n times from gene to gene, and expression does not fall below 0. Unlike it, every measured gene may
    regulate every other (no motifs, no accessibility), the network is fitted on leading principal components in place of
    smoothed cells, and cells of a context all move alike.
    What perturbations do to their own gene is taken from the training cells in one respect: where they raise it (CRISPR
    activation; mean over at least 3 perturbations more than 2 standard errors above 0), the gene is raised by that mean,
    not set to 0. The other training perturbations are not used.

    Source
    ------
    Kamimoto et al., Nature 614, 742–751, 2023, doi:10.1038/s41586-022-05688-9.
    """

    n_components: int = 50
    """Most components of the controls."""
    ridge: float = 0.1
    """λ, as a multiple of the mean variance of a gene."""
    n_steps: int = 3
    """Times the change passes through the network; CellOracle's 3."""
    __post_init__ = checked(n_components=1, n_steps=1, positive=("ridge",))
    save, load = save_attributes, load_attributes

    def fit(self, train: Train, *, seed: int) -> None:
        if train.perturbation_type != "CRISPR":
            raise Unsupported(f"a network of genes needs a perturbed gene; a {train.perturbation_type} is none")
        if train.space == "zscore":
            raise Unsupported("z-scores have no level 0 to set a knocked-out gene to")
        self.genes = {str(gene): i for i, gene in enumerate(train.genes)}
        contexts = train.controls.obs["context"].to_numpy()
        self.networks: dict[str, Network] = {}
        for context, control in control_means(train).iterrows():
            cells = train.controls.X[contexts == context]
            if cells.shape[0] >= MIN_CONTROLS:
                self.networks[context] = self._network(cells, control.to_numpy(), seed)
        if not self.networks:
            raise Unsupported(f"no context has {MIN_CONTROLS} training controls to fit a network on")
        self.raised = own_gene_raised(changes(effects(train)))

    def predict(self, query: Query) -> Prediction:
        if query.dose is not None or query.start_dose is not None:
            raise Unsupported(f"a knocked-out gene has no dose; got {query.start_dose} to {query.dose} nM")
        parts = query.perturbation.split("+")
        absent = [part for part in parts if part not in self.genes]
        if absent:
            raise Unsupported(f"{' and '.join(absent)} is not among the measured genes: it has no place in the network")
        if query.context not in self.networks:
            raise Unsupported(f"fewer than {MIN_CONTROLS} training controls in {query.context} to fit a network on")
        network = self.networks[query.context]
        genes = [self.genes[part] for part in parts]
        changes = [self.raised or -float(network.control[gene]) for gene in genes]
        if not any(changes):
            raise Unsupported(f"{query.perturbation} is not expressed in the training controls of {query.context}")
        note = f"activation: own gene raised by {self.raised:.2g}, as in training" if self.raised else ""
        return shifted(query, network.spread(genes, changes, self.n_steps), note)

    def _network(self, cells: np.ndarray, control: np.ndarray, seed: int) -> Network:
        one = np.zeros(cells.shape[0], dtype=int)
        mean = np.asarray(cells.astype(np.float64).mean(axis=0)).ravel()
        _, values, loadings = components(cells, mean[None], one, self.n_components, seed)
        squares = cells.astype(np.float64).power(2).sum()
        n_cells, n_genes = cells.shape
        total = (squares - n_cells * (mean**2).sum()) / (n_cells - 1)
        variances = values**2 / (n_cells - 1)
        rest = max(0.0, total - variances.sum()) / max(1, n_genes - len(variances))
        kept = np.maximum(0.0, variances - rest) / (variances + self.ridge * total / n_genes)
        return Network(loadings.T, kept, control)


def own_gene_raised(table: pd.DataFrame) -> float:
    """Mean change of the perturbed genes themselves where training perturbations raise them clearly, else 0."""
    own = own_changes(table).to_numpy()
    if len(own) < MIN_RAISED:
        return 0.0
    mean, error = float(np.mean(own)), float(np.std(own, ddof=1) / np.sqrt(len(own)))
    return mean if mean > 2 * error else 0.0


BASELINE = Baseline(
    name="grn_propagation",
    build=GrnPropagation,
    directions=("n2p", "p2n"),
    summary="Ridge network of all genes fitted on controls; the knocked-out gene's change spreads for three steps.",
    source="after Kamimoto et al. 2023, doi:10.1038/s41586-022-05688-9",
    limits="The perturbed gene must be measured and expressed; correlations of controls do not separate cause from effect, and "
    "much of its score is the perturbed gene's own change.",
    needs="profiles",
    can=Can(unseen_perturbation="yes", unseen_context="yes", combination="yes", dose="no"),
)
