"""A simulated twin of sci-Plex 3 (Srivatsan et al. 2020): compounds at four doses in three lines.

Every number is simulated, by `benchmarks/data/simulation`. A compound inhibits one to three targets, each by a Hill curve; a
dose scales the targets' responses.
"""

import numpy as np

from benchmarks.data.simulation.design import Design
from benchmarks.data.simulation.perturbed_states import Hill, dosed, draw_compounds, numbered
from benchmarks.data.simulation.screen import simulated

SEED = 1001
"""Seed of the benchmark's screen; no model was developed on it."""
_PAPER = ("Capecitabine", "Disulfiram", "Entacapone", "Meprednisone", "Mercaptopurine", "Temsirolimus")
NAMED = tuple(f"SIM_{name}" for name in _PAPER)
"""Names that suites refer to, after the compounds of the CycSeq paper's Table 2 and Figure 6; the cells are simulated."""
STRENGTH = 4.0
"""Weight of the edges of their main targets, two thirds of the strongest, so that effects stand out from noise."""
N_COMPOUNDS, N_TARGETS = 24, 16


def compounds() -> dict[str, tuple[Hill, ...]]:
    """Draw the curves of every compound: the truth, for tests and references, never for a predictor.

    Compounds are those of `NAMED` first, then SIM_C007, ...; several compounds share a target.
    """
    rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(99,)))
    return draw_compounds(rng, numbered("SIM_C", N_COMPOUNDS, NAMED), N_TARGETS, active=NAMED)


def design() -> Design:
    """Describe the screen."""
    drawn = compounds()
    targets = numbered("SIM_T", N_TARGETS)
    return Design(
        contexts=("sim_A549", "sim_K562", "sim_MCF7"),
        targets=targets,
        conditions=dosed(drawn),
        n_genes=1000,
        cells=200.0,
        cells_sd=0.3,
        least_cells=20,
        control_cells=600,
        counts_per_gene=0.8,
        depth_sd=0.5,
        holds_target=False,
        reach=6.0,
        strengths={targets[drawn[name][0].target]: STRENGTH for name in NAMED},
        inactive=0.1,
        escape=(0.0, 0.0),
        stress=0.05,
    )


read = simulated(design, SEED)
