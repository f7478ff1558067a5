"""`python -m benchmarks.run` is `cycseq-bench run`."""

import sys

from benchmarks.cli.app import run_as

run_as("run", __name__)
if __name__ == "benchmarks.run":  # an import of this module gives the function of the same name, which it would hide
    from benchmarks.api.running import run

    sys.modules[__name__] = run  # type: ignore[assignment]
