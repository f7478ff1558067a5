"""The generator of `cropseq_simulated` and `smoke_simulated`: knock-outs in several contexts, with and without exposure.

`network.py` says what a knock-out, a programme, a context and a replicate do to a gene's expected share of the counts.
Here cells are drawn from it: some escape their knock-out, depth is log-normal, counts are negative binomial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from benchmarks.contract import CONTROL
from benchmarks.data.simulation import network as model
from benchmarks.data.simulation.negative_binomial import Rows, draw_counts
from benchmarks.data.simulation.network import Network, Settings
from benchmarks.data.simulation.terms import annotate
from benchmarks.data.simulation.truth import expect_log2

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
    """Simulate the screen; the same seed gives the same cells.

    Parameters
    ----------
    seed
        Seed of three independent streams (PCG64): network, annotation, cells.
    settings
        What to simulate.

    Returns
    -------
    Simulation
        Cells in raw counts, annotation, noise-free profiles in log2(CP10k + 1), and the model itself.

    Raises
    ------
    DataError
        By `Settings`, for numbers no screen can be made of.
    """
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
    counts = draw_counts(network, Rows(*np.concatenate(rows, axis=1)), rng, settings.depth_sd)
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


def expect_screen(network: Network, settings: Settings) -> pd.DataFrame:
    """Work out each condition's expected log2(CP10k + 1) over replicates, escaped and other cells: noise-free."""
    first, escape, conditions, names = model.FIRST_KNOCKOUT, network.escape[:, None], [], []
    for c, context in enumerate(settings.contexts):
        for a, arm in enumerate(model.ARMS):
            noise = (network.dispersion[c], network.depth[c], settings.depth_sd)
            states = np.stack(
                [
                    np.mean([expect_log2(profile, *noise) for profile in state], axis=0)
                    for state in network.profiles[c, a]
                ]
            )
            mixed = (1 - escape) * states[first:] + escape * states[model.ESCAPED_STATE]
            conditions += [states[model.CONTROL_STATE], *mixed]
            names += [(context, arm, CONTROL), *((context, arm, network.genes[t]) for t in network.targets)]
    index = pd.MultiIndex.from_tuples(names, names=["context", "arm", "perturbation"])
    return pd.DataFrame(np.stack(conditions), index=index, columns=pd.Index(network.genes, dtype=object)).sort_index()
