"""Replogle 2022, z-scores against the controls of each gem group: the reader of `replogle` in another space."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.data.schema import Reading
from benchmarks.data.sources import load_reader


def read(files: Mapping[str, Path]) -> Reading:
    """Read the z-scores; genes that are not finite in some cell are left out."""
    reading: Reading = load_reader("replogle").read_screens(files, "zscore")
    return reading
