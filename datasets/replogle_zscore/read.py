"""Replogle 2022, z-scores against the controls of each gem group; genes that are not finite in some cell are left out."""

from functools import partial

from benchmarks.data.sources import load_reader

read = partial(load_reader("replogle").read, space="zscore")
