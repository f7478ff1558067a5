"""`python -m benchmarks.fidelity` is `cycseq-bench fidelity`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("fidelity")
