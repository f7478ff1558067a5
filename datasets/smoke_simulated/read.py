"""The generator of cropseq_simulated at a size that every model trains on in seconds."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.data.schema import Reading
from benchmarks.data.simulation.network import Settings
from benchmarks.data.simulation.two_arms import simulate


def read(files: Mapping[str, Path]) -> Reading:
    """Simulate the screen; it has no files."""
    settings = Settings(
        contexts=("sim_A", "sim_B", "sim_C"),
        n_genes=150,
        n_knockouts=9,
        n_modules=8,
        knockout_cells=(40, 10),
        control_cells=(90, 20),
    )
    screen = simulate(0, settings=settings)
    return Reading([screen.cells], screen.annotation, screen.expectation)
