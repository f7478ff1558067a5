"""Plugins that break the contract, one way each; written to files by the tests."""

from __future__ import annotations

import venv
from pathlib import Path

import numpy as np
from filelock import FileLock

from benchmarks.contract import Baseline
from benchmarks.execution.models.model_environment import environment_of

HEAD = """
import time, os
import numpy as np
from benchmarks.contract import Baseline, Prediction
from benchmarks.errors import Unsupported

class Model:
    def __init__(self, strength: float = 1.0): self.strength = strength
    def fit(self, train, *, seed):
        {fit}
    def predict(self, query):
        {predict}

BASELINE = Baseline(name="{name}", build=Model, directions=("n2p",), summary="a test plugin", source="tests")
"""
GOOD = "return Prediction(query.cells.X.toarray() + self.strength, unit='cell')"
BODIES = {
    "good": ("self.seed = seed", GOOD),
    "raises_in_fit": ("raise RuntimeError('no convergence')", GOOD),
    "raises_once": (
        "self.n = 0",
        "self.n += 1\n        if self.n == 2: raise ValueError('second condition')\n        " + GOOD,
    ),
    "returns_nan": ("pass", "return Prediction(np.full(query.cells.shape, np.nan), unit='cell')"),
    "wrong_shape": ("pass", "return Prediction(query.cells.X.toarray()[:, 1:], unit='cell')"),
    "other_genes": (
        "pass",
        "return Prediction(query.cells.X.toarray(), unit='cell', genes=tuple(query.cells.var_names[::-1]))",
    ),
    "returns_array": ("pass", "return query.cells.X.toarray()"),
    "changes_training": ("train.cells.X.data[:] = 0", GOOD),
    "changes_input": ("pass", "query.cells.X.data[:] = 1; " + GOOD),
    "never_returns": ("pass", "time.sleep(3600)"),
    "hangs_in_fit": ("time.sleep(3600)", GOOD),
    "hangs_with_a_child": (
        "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(3600)",
        GOOD,
    ),
    "holds_the_interpreter": ("import ctypes; ctypes.PyDLL(None).sleep(3600)", GOOD),
    "leaves_a_semaphore": ("import multiprocessing; self.lock = multiprocessing.RLock(); time.sleep(3600)", GOOD),
    "dies": ("os._exit(9)", GOOD),
    "says_why_it_dies": ("print('out of luck', flush=True); os._exit(3)", GOOD),
    "tells_threads": ("raise ValueError('threads: ' + os.environ['OMP_NUM_THREADS'])", GOOD),
    "imports_the_harness": ("import cycseq", GOOD),
    "wants_an_extra": ("import no_such_package", GOOD),
    "later_wants_an_extra": ("pass", "import no_such_package"),
    "lacks_a_package": ("import no_such_package", GOOD),
    "counts_calls": (
        "import traceback; raise ValueError(' '.join(f.name for f in traceback.extract_stack() if 'benchmarks/' in f.filename))",
        GOOD,
    ),
    "declines": ("pass", "raise Unsupported('not for me')"),
}


def write(folder: Path, name: str, *, isolated: bool = False) -> Path:
    """Write one of the plugins to a file of its name; an isolated one needs no package but the contract's."""
    fit, predict = BODIES[name]
    path = folder / f"{name}.py"
    text = HEAD.format(name=name, fit=fit, predict=predict)
    more = ", isolated=True" if isolated else ', extra="some"' if name.endswith("_an_extra") else ""
    path.write_text(text.replace('source="tests")', f'source="tests"{more})'))
    return path


def link(record: Baseline) -> Path:
    """Make an isolated model's environment from what is installed here: a venv, with pip's part left out."""
    folder = environment_of(record).folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # workers of pytest-xdist share the cache
        if not folder.is_dir():
            venv.create(folder, symlinks=True)
            site = next(folder.glob("lib/python*/site-packages"))
            (site / "here.pth").write_text(str(Path(np.__file__).parents[1]))
    return folder
