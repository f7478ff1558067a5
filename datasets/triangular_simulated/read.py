"""A simulated screen with one strong and one weak knock-down, for the input-copy audit ("triangular validation").

Every number is simulated, by `benchmarks/data/simulation`. SIM_MED30 and SIM_TTK stand for the two genes of the CycSeq paper's
Figure 3; in sim_K562 they have about as many differentially expressed genes as were reported for MED30 and TTK in K562
(763 and 7). The other 22 knock-downs run from nothing to strong.
"""

from benchmarks.data.simulation.design import Design
from benchmarks.data.simulation.perturbed_states import numbered, singles
from benchmarks.data.simulation.screen import simulated

SEED = 1001
"""Seed of the benchmark's screen; no model was developed on it."""
STRENGTHS = {"SIM_MED30": 3.12, "SIM_TTK": 0.23}
"""Found by bisection so that the test below counts 763 and 7: Wilcoxon's rank-sum test of log2(CP10k + 1), 150 cells
against the 1,000 controls of sim_K562, all 3,000 genes, Benjamini-Hochberg at 5 %, the target itself counted."""


def design() -> Design:
    """Describe the screen: 24 knock-downs in two lines."""
    targets = numbered("SIM_P", 24, tuple(STRENGTHS))
    return Design(
        contexts=("sim_K562", "sim_RPE1"),
        targets=targets,
        conditions=singles(targets),
        n_genes=3000,
        n_modules=12,
        cells=150.0,
        control_cells=1000,
        strengths=STRENGTHS,
        stress=0.05,
    )


read = simulated(design, SEED)
