"""The generator of `cropseq_simulated` and `smoke_simulated`: knock-outs in several contexts, with and without exposure.

`network.py` says what a knock-out, a programme, a context and a replicate do to a gene's expected share of the counts.
Here cells are drawn from it: some escape their knock-out, depth is log-normal, counts are negative binomial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from jaxtyping import Int

from benchmarks.contract import CONTROL
from benchmarks.data.schema import Reading
from benchmarks.data.simulation import network as model
from benchmarks.data.simulation.network import Network, Settings
from benchmarks.data.simulation.truth import annotate, expect_conditions

CELLS_PER_BLOCK = 1000
FROZEN = Settings()
"""Settings of `cropseq_simulated`; never changed, so that its cells stay what they are."""


@dataclass(frozen=True)
class Simulation:
    """One simulated screen and the truth behind it."""

    cells: AnnData
    """Canonical cells, raw counts, CSR float32 [cell, gene]."""
    annotation: dict[str, frozenset[str]]
    """Gene → modules, with missing and false terms; no effect sizes."""
    expectation: pd.DataFrame
    """Expected log2(CP10k + 1) [condition, gene], indexed by (context, arm, perturbation)."""
    network: Network
    """The generative model: for tests and references, never for a predictor."""


def simulate(seed: int = 0, *, settings: Settings = FROZEN) -> Simulation:
    """Simulate the screen; the same seed, of three independent streams (network, annotation, cells), gives the same cells."""
    for_network, for_annotation, for_cells = (
        np.random.Generator(np.random.PCG64(stream)) for stream in np.random.SeedSequence(seed).spawn(3)
    )
    network = model.build_network(for_network, settings)
    return Simulation(
        cells=draw_screen(network, for_cells, settings),
        annotation=annotate(network.genes, network.members, for_annotation, settings.annotation_noise),
        expectation=expect_screen(network, settings),
        network=network,
    )


def simulated(settings: Settings, seed: int) -> Callable[[Mapping[str, Path]], Reading]:
    """Make the `read` of such a data set, which has no files."""

    def read(files: Mapping[str, Path]) -> Reading:
        screen = simulate(seed, settings=settings)
        return Reading([screen.cells], screen.annotation, screen.expectation)

    return read


def draw_screen(network: Network, rng: np.random.Generator, settings: Settings) -> AnnData:
    """Draw every cell of the screen, in canonical form."""
    groups, rows = [], []
    n_knockouts = len(network.targets)
    for c, context in enumerate(settings.contexts):
        for a, arm in enumerate(model.ARMS):
            fewest = np.array([settings.control_cells[a]] + [settings.knockout_cells[a]] * n_knockouts)
            knockout = np.repeat(np.arange(-1, n_knockouts), fewest + rng.poisson(settings.extra_cells * fewest))
            escaped = (knockout >= 0) & (rng.random(len(knockout)) < network.escape[knockout])
            state = np.where(knockout < 0, model.CONTROL_STATE, model.FIRST_KNOCKOUT + knockout)
            state[escaped] = model.ESCAPED_STATE
            replicate = np.arange(len(knockout)) % settings.replicates
            rows.append(np.stack([np.full(len(knockout), c), np.full(len(knockout), a), state, replicate]))
            groups.append(_label(network, knockout, replicate, context, arm))
    obs = pd.concat(groups)
    text = obs.columns.difference(["dose", "is_control"])
    obs[text] = obs[text].astype("category")
    counts = draw_counts(network, np.concatenate(rows, axis=1), rng, settings.depth_sd)
    return AnnData(X=counts, obs=obs, var=pd.DataFrame(index=pd.Index(network.genes, dtype=object)))


def _label(network: Network, knockout: np.ndarray, replicate: np.ndarray, context: str, arm: str) -> pd.DataFrame:
    """Label one context and arm's cells; knock-out −1 is control."""
    names = np.array([*(network.genes[t] for t in network.targets), CONTROL], dtype=object)
    index = pd.Index([f"{context}-{arm}-{i + 1:05d}" for i in range(len(knockout))], dtype=object)
    return pd.DataFrame(
        {
            "perturbation": names[knockout],
            "context": context,
            "arm": arm,
            "batch": [f"rep{r + 1}" for r in replicate],
            "control_group": f"{context}|{arm}",
            "dose": np.nan,
            "is_control": knockout < 0,
        },
        index=index,
    )


def draw_counts(
    network: Network, rows: Int[np.ndarray, "4 cell"], rng: np.random.Generator, depth_sd: float
) -> sp.csr_matrix:
    """Draw raw counts [cell, gene]: log-normal depth, negative binomial (gamma-Poisson) around the expected profile.

    `rows` are the first four indices (context, arm, state, replicate) of each cell's profile in `network.profiles`.
    """
    blocks = []
    for start in range(0, rows.shape[1], CELLS_PER_BLOCK):
        context, arm, state, replicate = rows[:, start : start + CELLS_PER_BLOCK]
        depth = network.depth[context] * np.exp(depth_sd * rng.standard_normal(len(state)))
        dispersion = network.dispersion[context]
        mean = depth[:, None] * network.profiles[context, arm, state, replicate]
        mean *= dispersion * rng.standard_gamma(1 / dispersion)
        blocks.append(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    return sp.vstack(blocks, format="csr")


def expect_screen(network: Network, settings: Settings) -> pd.DataFrame:
    """Work out each condition's expected log2(CP10k + 1) over replicates, escaped and other cells: noise-free."""
    conditions, names = [], []
    for c, context in enumerate(settings.contexts):
        for a, arm in enumerate(model.ARMS):
            noise = (network.dispersion[c], network.depth[c], settings.depth_sd)
            conditions.append(expect_conditions(network.profiles[c, a], network.escape, *noise))
            names += [(context, arm, CONTROL), *((context, arm, network.genes[t]) for t in network.targets)]
    index = pd.MultiIndex.from_tuples(names, names=["context", "arm", "perturbation"])
    columns = pd.Index(network.genes, dtype=object)
    return pd.DataFrame(np.concatenate(conditions), index=index, columns=columns).sort_index()
