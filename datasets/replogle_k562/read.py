"""One line of Replogle 2022: the reader of `replogle` on one file."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.data.schema import Reading
from benchmarks.data.sources import load_reader


def read(files: Mapping[str, Path]) -> Reading:
    """Read the raw counts."""
    reading: Reading = load_reader("replogle").read(files)
    return reading
