"""CellOT: an optimal transport map for every perturbation, from two potential networks (ott-jax's neural dual).

The authors' pair of input-convex networks, as ott-jax has it (`W2NeuralDual`), did not train here: in 50 dimensions its
potentials diverged within hundreds of steps, or took 0.3 s a step with the ten inner ones. ott-jax's expectile-regularised
dual takes its place: the same problem, stable, milliseconds a step.

Runs in an environment of its own: jax and flax beside scvi-tools break the latter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, svds

from baselines.shared.moved_cells import moved_cells
from baselines.shared.persistence import load_attributes, save_attributes
from baselines.shared.settings import checked
from baselines.shared.states import contexts_with_both, labels_of, start_and_end
from benchmarks.contract import CONTROL, Baseline, Can, Prediction, Query, Train
from benchmarks.errors import Unsupported

REPORT_EVERY = 50
Report = Callable[[int, int, str], None]


@dataclass
class CellOT:
    """One pair of potentials per perturbation (and dose), between training controls and its training cells.

    Both sides come from the contexts that have cells in both states, each context weighing the same on both, so that the
    map does not carry a different mix of contexts. Maps act on the first principal components of the training cells, where
    the authors use an autoencoder's latent space; what the components leave of a cell stays as it was. One potential maps
    controls to perturbed cells, the other back; from dose to dose a cell goes back and forth.

    Source
    ------
    Bunne et al., Nature Methods 20, 1759-1768 (2023), doi:10.1038/s41592-023-01969-x; settings from configs/ of
    github.com/bunnech/cellot. Solver: ott-jax, arXiv:2201.12324, with the loss and networks of Buzun, Bobrin, Dylov,
    arXiv:2403.03777.
    """

    iterations: int = 100_000
    """Steps of both potentials; 100,000 in the authors' configuration."""
    batch_size: int = 64
    """Cells of either side per step; 64 in the authors' configuration for Kang's cells."""
    components: int = 50
    """Principal components; 50 latent dimensions in the authors' configuration."""
    __post_init__ = checked(iterations=1, batch_size=1, components=1)
    save = save_attributes

    def fit(self, train: Train, *, seed: int) -> None:
        labels = labels_of(train.cells.obs)
        rng = np.random.default_rng(seed)
        x = sp.csr_matrix(train.cells.X)
        self._mean, self._axes, self._scale = principal_components(x, self.components, rng)
        scores = self._scores(x)
        pairs = _pairs(labels)
        if not pairs:
            raise Unsupported("CellOT needs a context with training controls and training cells of a perturbation.")
        self._seen = set(labels.itertuples(index=False, name=None))
        _set_up_jax(train.device)
        batches = {p: [_batches(scores, rows, self.batch_size, rng) for rows in sides] for p, sides in pairs.items()}
        self._maps = train_maps(batches, scores.shape[1], self.iterations, seed, train.report)

    def predict(self, query: Query) -> Prediction:
        start, end = start_and_end(query)
        contexts_with_both(self._seen, *sorted((start, end), key=lambda state: state != CONTROL))
        x = sp.csr_matrix(query.cells.X)
        before = scores = self._scores(x)
        for state, side in ((start, "back"), (end, "forth")):
            if state == CONTROL:
                continue
            if state not in self._maps:
                raise Unsupported(f"CellOT has no map of '{state}': no context has its training cells and controls.")
            scores = self._transport(scores, state, side)
        change = (scores - before) * self._scale
        return Prediction(moved_cells(x, change @ self._axes), unit="cell")

    def load(self, folder: Path) -> None:
        _set_up_jax("cpu")
        load_attributes(self, folder)

    def _scores(self, x: sp.csr_matrix) -> np.ndarray:
        """Scaled principal components [cell, component] of cells, float32."""
        return np.asarray((x @ self._axes.T - self._mean @ self._axes.T) / self._scale, dtype=np.float32)

    def _transport(self, scores: np.ndarray, state: str, side: str) -> np.ndarray:
        moved = scores - 0.5 * np.asarray(_gradient(self._maps[state][side], scores))
        if not np.isfinite(moved).all():
            raise FloatingPointError(
                f"the potentials of '{state}' gave NaN after {self.iterations} iterations: training diverged"
            )
        return moved


def train_maps(
    batches: Mapping[str, list[Iterator[np.ndarray]]], n: int, iterations: int, seed: int, report: Report
) -> dict[str, dict[str, Any]]:
    """Train a pair of potentials for each state, given batches [cell, component] of its controls and of its cells.

    Returns the potentials' parameters: "forth" from controls to cells and "back".
    """
    import jax
    from ott.neural.methods.expectile_neural_dual import ExpectileNeuralDual

    keys = jax.random.key(seed % 2**32)
    solver = ExpectileNeuralDual(n, num_train_iters=iterations, valid_freq=iterations + 1, rng=keys)  # compiled once
    maps = {}
    for number, (state, sides) in enumerate(batches.items()):

        def after_step(step: int, potentials: Any, state: str = state, before: int = number * iterations) -> None:
            if (step + 1) % REPORT_EVERY == 0:
                report(before + step + 1, len(batches) * iterations, f"{state}, step {step + 1}")

        keys, forth, back = jax.random.split(keys, 3)
        solver.state_f = solver.neural_f.create_train_state(forth, solver.state_f.tx, (n,))
        solver.state_g = solver.neural_g.create_train_state(back, solver.state_g.tx, (n,))
        solver(*sides, *sides, callback=after_step)
        trained = {"forth": solver.state_f, "back": solver.state_g}
        maps[state] = {side: jax.tree.map(np.asarray, network.params) for side, network in trained.items()}
    return maps


def principal_components(x: sp.csr_matrix, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """First principal components of cells [cell, gene], which stay sparse.

    Returns their mean [gene], axes [component, gene], and the root mean variance of the components, which brings them near 1
    without changing how distances compare.
    """
    mean = np.asarray(x.mean(axis=0)).ravel()
    ones = np.ones(x.shape[0])
    centred = LinearOperator(
        x.shape,
        matvec=lambda v: x @ v.ravel() - ones * (mean @ v.ravel()),
        rmatvec=lambda v: x.T @ v.ravel() - mean * v.sum(),
        dtype=np.float64,
    )
    k = min(most, min(x.shape) - 1)
    _, values, axes = svds(centred, k=k, v0=rng.standard_normal(min(x.shape)))
    order = np.argsort(-values)
    return mean, axes[order], float(np.sqrt((values**2).mean() / x.shape[0]))


def _pairs(labels: pd.DataFrame) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """State → rows of controls and rows of its cells, one array for every context that has both."""
    rows = labels.groupby(["state", "context"]).indices
    found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    for (state, context), cells in sorted(rows.items()):
        if state != CONTROL and (CONTROL, context) in rows:
            controls, perturbed = found.setdefault(state, ([], []))
            controls.append(rows[CONTROL, context])
            perturbed.append(cells)
    return found


def _batches(scores: np.ndarray, rows: list[np.ndarray], size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw an endless sequence of batches, each cell from a context drawn evenly."""
    starts = np.cumsum([0, *map(len, rows)])
    joined, sizes = np.concatenate(rows), np.array([len(r) for r in rows])
    while True:
        part = rng.integers(len(rows), size=size)
        yield scores[joined[starts[part] + rng.integers(sizes[part])]]


def _set_up_jax(device: str) -> None:
    """Set jax's device and threads before it is imported; this process runs only this model."""
    os.environ["JAX_PLATFORMS"] = "cpu" if device == "cpu" else "cuda"
    if os.environ.get("OMP_NUM_THREADS") == "1":
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"


def _gradient(params: Any, points: np.ndarray) -> Any:
    """Gradient of a potential at points [cell, component]; half of it is the way to the other side."""
    import jax
    from ott.neural.methods.expectile_neural_dual import ExpectileNeuralDual

    network = ExpectileNeuralDual(points.shape[1]).neural_f
    return jax.vmap(network.potential_gradient_fn(params))(points)


BASELINE = Baseline(
    name="cellot",
    build=CellOT,
    directions=("n2p", "p2n"),
    summary="Optimal transport map per perturbation in principal components, from two potential networks (ott-jax).",
    source="doi:10.1038/s41592-023-01969-x",
    limits="Knows only perturbations (and doses) with training cells and controls in one context.",
    licence="Apache-2.0 (ott-jax)",
    quick={"iterations": 1000},
    full_training={"iterations": 100_000},
    isolated=True,
    requirements=(
        "ott-jax==0.6.0",
        "jax==0.10.2",
        "jaxlib==0.10.2",
        "flax==0.12.8",
        "optax==0.2.8",
        "diffrax==0.7.2",
        "scipy==1.17.1",
    ),
    resources={"memory_gb": 16, "hours": 24},
    can=Can(unseen_perturbation="no", unseen_context="yes", combination="no", dose="no"),
)
