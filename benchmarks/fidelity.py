"""`python -m benchmarks.fidelity` is `cycseq-bench fidelity`."""

from benchmarks.cli.app import run_as

run_as("fidelity", __name__)
