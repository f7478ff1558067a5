"""The harness: data → split → fit → predict → store → score → report. In a program: `import benchmarks as cb`.

`cb.evaluate` scores predictions, `cb.run` trains and scores models, `cb.load_run` opens the folder of a run; each returns a
`cb.Result`. `cb.models`, `cb.suites` and `cb.metrics` list what there is. docs/python-api.md has examples.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Threads of OpenMP spin only briefly while they wait for each other, or two trainings that share cores take many times as long;
# libraries read this when they are loaded. What it costs and gains: `python -m tests.bench.waiting`.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # GCC's library
os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's and Intel's, in ms

if TYPE_CHECKING:
    from benchmarks.api.evaluation import evaluate as evaluate
    from benchmarks.api.listing import metrics as metrics
    from benchmarks.api.listing import models as models
    from benchmarks.api.listing import suites as suites
    from benchmarks.api.result import Result as Result
    from benchmarks.api.result import load_run as load_run
    from benchmarks.api.running import run as run
    from benchmarks.api.toy import toy_screen as toy_screen
    from benchmarks.contract import Baseline as Baseline
    from benchmarks.contract import Can as Can
    from benchmarks.contract import Prediction as Prediction
    from benchmarks.contract import Query as Query
    from benchmarks.contract import Train as Train
    from benchmarks.errors import BenchmarkError as BenchmarkError
    from benchmarks.errors import Unsupported as Unsupported

_WHERE = {
    "api.evaluation": ("evaluate",),
    "api.listing": ("metrics", "models", "suites"),
    "api.result": ("Result", "load_run"),
    "api.running": ("run",),
    "api.toy": ("toy_screen",),
    "contract": ("Baseline", "Can", "Prediction", "Query", "Train"),
    "errors": ("BenchmarkError", "Unsupported"),
}
"""Module → the names of it that are the package's."""
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'benchmarks' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(f"benchmarks.{_MODULE_OF[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
