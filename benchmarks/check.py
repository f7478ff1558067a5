"""`python -m benchmarks.check` is `cycseq-bench check`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("check")
