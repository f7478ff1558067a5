"""What the harnesses share: a small screen, commands in forked children, and the tables of a run."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

MODELS = "no_change,train_mean,linear"
TIMED = ("costs.csv",)
"""Tables that hold seconds."""
TRACEBACK = 70


def write_screen(path: Path, seed: int = 0, *, perturbations: int = 4, genes: int = 80) -> None:
    """Write a screen of 3 lines × some knock-downs and controls, dense counts."""
    rng = np.random.default_rng(seed)
    names = [f"GENE{i}" for i in range(genes)]
    effects = {p: rng.normal(0, 0.5, genes) for p in names[:perturbations]} | {"control": np.zeros(genes)}
    rows, labels = [], []
    for line in ("L1", "L2", "L3"):
        base = rng.gamma(0.7, 1.0, genes) + 0.05
        for perturbation, effect in effects.items():
            n = 60 if perturbation == "control" else 30
            rate = base * np.exp(effect)
            rows.append(rng.poisson(2000 * rate / rate.sum(), (n, genes)))
            labels += [(perturbation, line)] * n
    obs = pd.DataFrame(labels, columns=["perturbation", "line"], index=[f"cell{i}" for i in range(len(labels))])
    ad.AnnData(np.vstack(rows).astype(np.float32), obs, pd.DataFrame(index=names)).write_h5ad(path)


def run_folder(out: Path) -> Path | None:
    """Return the folder of the only run in `out`, or None before it is made."""
    return next((p.parent for p in sorted(out.glob("*/*/manifest.json")) if p.parts[-3] != "cells"), None)


def tables(folder: Path) -> dict[str, bytes]:
    """Read the tables of a run as they are, but for those that hold seconds."""
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.csv")) if p.name not in TIMED}


def import_commands() -> None:
    """Import what commands import, so that forked children need not."""
    import baselines
    import benchmarks
    import cycseq
    import reports

    for package in (benchmarks, reports, cycseq):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in ("no_change", "train_mean", "linear"):
        importlib.import_module(f"{baselines.__name__}.{name}")


def warm_up(screen: Path, out: Path) -> None:
    """Score a small file in this process: compiled functions and what is imported late are there for the children."""
    from benchmarks.cli.app import app

    given = ["score", str(screen), "--truth", str(screen), "--train", str(screen), "--context-key", "line"]
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), suppress(SystemExit):
        app([*given, "--no-figures", "--no-calibrate", "--out", str(out)])


def fork(work: Callable[[], int], log: Path, environment: dict[str, str] | None = None) -> int:
    """Do some work in a forked child of a session of its own; returns its process id.

    What it prints is added to `log`. Its exit status is what `work` returns or exits with, or `TRACEBACK`.
    """
    log.write_bytes(b"")
    child = os.fork()
    if child:
        return child
    status = TRACEBACK
    try:
        os.setsid()
        os.environ.update(environment or {})
        handle = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        status = work()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - whatever escapes is what is looked for
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
