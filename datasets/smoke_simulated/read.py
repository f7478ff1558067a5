"""The generator of cropseq_simulated at a size that every model trains on in seconds."""

from benchmarks.data.simulation.network import Settings
from benchmarks.data.simulation.two_arms import simulated

SETTINGS = Settings(
    contexts=("sim_A", "sim_B", "sim_C"),
    n_genes=150,
    n_knockouts=9,
    n_modules=8,
    knockout_cells=(70, 10),
    control_cells=(150, 20),
)
read = simulated(SETTINGS, 0)
