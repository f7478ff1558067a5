"""One line of Replogle 2022: the reader of `replogle` on one file."""

from benchmarks.data.sources import load_reader

read = load_reader("replogle").read
