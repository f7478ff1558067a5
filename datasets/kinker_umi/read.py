"""Kinker 2020, raw counts of the cells that passed the authors' quality control: the reader of `kinker`, UMIcount_data.txt."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.data.schema import Reading
from benchmarks.data.sources import load_reader


def read(files: Mapping[str, Path]) -> Reading:
    """Read the raw counts."""
    reading: Reading = load_reader("kinker").read_lines(files["umi"], files["metadata"], "counts")
    return reading
