"""Data sets: card → files → reader → prepared cells on disk → cells in memory. Command line: `python -m benchmarks.data`."""

from benchmarks.data.cells import CellStore
from benchmarks.data.content import digest
from benchmarks.data.dataset import Dataset, load, present
from benchmarks.data.prepared import Prepared, prepare, prepared
from benchmarks.data.reader import Source, builtin, load_reader
from benchmarks.data.writer import write_cells

__all__ = [
    "CellStore",
    "Dataset",
    "Prepared",
    "Source",
    "builtin",
    "digest",
    "load",
    "load_reader",
    "prepare",
    "prepared",
    "present",
    "write_cells",
]
