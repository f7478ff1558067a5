"""`python -m benchmarks.run` is `cycseq-bench run`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("run")
