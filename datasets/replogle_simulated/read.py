"""A simulated twin of the Perturb-seq screens of Replogle et al. 2022: CRISPR interference in two lines, few cells each.

Every number is simulated, by `benchmarks/data/simulation`. Cells per knock-down have a long tail (log-normal). `design` makes
the same screen larger: thousands of knock-downs, dozens of contexts, any number of genes; its cells come block by block.
"""

from benchmarks.data.simulation.design import Design
from benchmarks.data.simulation.perturbed_states import numbered, singles
from benchmarks.data.simulation.screen import simulated

SEED = 1001
"""Seed of the benchmark's screen; no model was developed on it."""
LINES = ("sim_K562", "sim_RPE1")


def design(
    *, n_perturbations: int = 150, n_contexts: int = len(LINES), n_genes: int = 1000, cells: float = 50.0
) -> Design:
    """Describe the screen; the defaults are the benchmark's data set.

    Parameters
    ----------
    n_perturbations
        Genes knocked down: SIM_P001, SIM_P002, ...
    n_contexts
        Contexts: sim_K562, sim_RPE1, sim_L003, ...
    n_genes
        Genes measured, at least twice the knock-downs.
    cells
        Median cells of a knock-down in a context.
    """
    targets = numbered("SIM_P", n_perturbations)
    return Design(
        contexts=numbered("sim_L", n_contexts, LINES),
        targets=targets,
        conditions=singles(targets),
        n_genes=n_genes,
        replicates=4,
        cells=cells,
        cells_sd=0.6,
        control_cells=600,
        escape=(0.05, 0.3),
    )


read = simulated(design, SEED)
