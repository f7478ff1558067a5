"""A simulated twin of the screen of Norman et al. 2019: activation of single genes and of pairs, in one line.

Every number is simulated, by `benchmarks/data/simulation`. Half of the pairs change ln expression by the sum of their parts;
the others interact (synergy, buffering, epistasis, or something new).
"""

import numpy as np

from benchmarks.data.simulation.design import Design
from benchmarks.data.simulation.perturbed_states import Pairs, draw_pairs, numbered, singles
from benchmarks.data.simulation.screen import simulated

SEED = 1001
"""Seed of the benchmark's screen; no model was developed on it."""
N_MODULES = 24


def pairs(*, n_singles: int = 36, n_pairs: int = 48, interacting: float = 0.5) -> Pairs:
    """Draw which genes are activated together, and how they interact: the truth about it is `kinds`."""
    rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(99,)))
    return draw_pairs(rng, numbered("SIM_P", n_singles), n_pairs, interacting=interacting, n_modules=N_MODULES)


def design(*, n_singles: int = 36, n_pairs: int = 48, interacting: float = 0.5, n_genes: int = 1000) -> Design:
    """Describe the screen: genes SIM_P001, ... activated alone and in pairs, a share of which interacts.

    The defaults are the benchmark's data set.
    """
    targets = numbered("SIM_P", n_singles)
    doubles = pairs(n_singles=n_singles, n_pairs=n_pairs, interacting=interacting).conditions
    return Design(
        contexts=("sim_K562",),
        targets=targets,
        conditions=(*singles(targets), *doubles),
        n_genes=n_genes,
        n_modules=N_MODULES,
        cells=120.0,
        cells_sd=0.4,
        least_cells=20,
        control_cells=900,
        activity=1.5,
        inactive=0.0,
        escape=(0.02, 0.15),
    )


read = simulated(design, SEED)
