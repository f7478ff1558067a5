"""Around calls of packages that use the global random generators, print and warn: seed before, restore afterwards."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import numpy as np

from benchmarks.contract import no_report

Report = Callable[[int, int, str], None]


@contextmanager
def seeded_and_quiet(seed: int, report: Report = no_report) -> Iterator[Report]:
    """Run a third-party call from seeded global generators, without its prints and warnings; restore all afterwards.

    Parameters
    ----------
    seed
        Seed for Python's `random`, NumPy's and Torch's global generators (its low 32 bits).
    report
        Progress function to be called from inside.

    Yields
    ------
    Report
        `report`, which still writes to the streams that were in place before.
    """
    import torch

    stdout, stderr = sys.stdout, sys.stderr

    def report_outside(done: int, total: int, text: str = "") -> None:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            report(done, total, text)

    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with (
            torch.random.fork_rng(devices=devices),
            warnings.catch_warnings(),
            open(os.devnull, "w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            random.seed(seed % 2**32)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.manual_seed(seed % 2**32)
            yield report_outside
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
