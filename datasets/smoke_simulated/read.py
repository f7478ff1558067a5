"""The generator of cropseq_simulated at a size that every model trains on in seconds."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.canonical import Reading
from benchmarks.data import load_reader


def read(files: Mapping[str, Path]) -> Reading:
    """Simulate the screen; it has no files."""
    generator = load_reader("cropseq_simulated")
    settings = generator.Settings(
        contexts=("sim_A", "sim_B", "sim_C"),
        n_genes=150,
        n_knockouts=9,
        n_modules=8,
        knockout_cells=(40, 10),
        control_cells=(90, 20),
    )
    screen = generator.simulate(0, settings=settings)
    return Reading([screen.cells], screen.annotation, screen.expectation)
