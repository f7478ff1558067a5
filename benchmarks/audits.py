"""`python -m benchmarks.audits` is `cycseq-bench audits`."""

from benchmarks.cli.app import run_as

if __name__ == "__main__":
    run_as("audits")
