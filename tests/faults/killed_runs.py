"""Kill runs at random moments, resume them, and compare their tables: `python -m tests.faults.killed_runs --kills 200`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import psutil

MODELS = "no_change,train_mean,linear,knn"
TIMED = ("costs.csv",)
"""Tables that hold seconds."""
SECONDS_TO_END = 15.0
"""Seconds within which the processes of a killed run must be gone."""
LATE = 0.6
"""Share of a whole run's time after which its tables are being made."""


@dataclass
class Report:
    """What was killed, and what was wrong afterwards."""

    kills: Counter[str] = field(default_factory=Counter)
    """Kills, by process and by what the run was doing."""
    compared: int = 0
    """Runs that came to their end after kills, whose tables were compared."""
    faults: list[str] = field(default_factory=list)


def write_screen(path: Path, seed: int = 0) -> None:
    """Write a screen of 3 lines × 4 knock-downs and controls, counts of 80 genes."""
    rng = np.random.default_rng(seed)
    genes = [f"GENE{i}" for i in range(80)]
    effects = {p: rng.normal(0, 0.5, 80) for p in genes[:4]} | {"control": np.zeros(80)}
    rows, labels = [], []
    for line in ("L1", "L2", "L3"):
        base = rng.gamma(0.7, 1.0, 80) + 0.05
        for perturbation, effect in effects.items():
            n = 60 if perturbation == "control" else 30
            rate = base * np.exp(effect)
            rows.append(rng.poisson(2000 * rate / rate.sum(), (n, 80)))
            labels += [(perturbation, line)] * n
    obs = pd.DataFrame(labels, columns=["perturbation", "line"], index=[f"cell{i}" for i in range(len(labels))])
    ad.AnnData(np.vstack(rows).astype(np.float32), obs, pd.DataFrame(index=genes)).write_h5ad(path)


def start(screen: Path, out: Path, jobs: int = 1) -> psutil.Popen:
    """Start a run, or go on with it, in a process of its own; what it prints is added to out/log.txt."""
    out.mkdir(parents=True, exist_ok=True)
    command = f"-m benchmarks.run --h5ad {screen} --context-key line --models {MODELS} --no-figures --threads 1"
    with (out / "log.txt").open("ab") as log:
        return psutil.Popen(
            [sys.executable, *command.split(), "--out", str(out), "--resume", "--jobs", str(jobs)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def run_folder(out: Path) -> Path | None:
    """Return the folder of the run in `out`, or None before it is made."""
    return next(out.glob("*/*/"), None)


def tables(folder: Path) -> dict[str, bytes]:
    """Read the tables of a run as they are, but for those that hold seconds."""
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.csv")) if p.name not in TIMED}


def outcomes(folder: Path | None) -> dict[str, bytes]:
    """Read what a run has finished: the outcome of each training."""
    return {} if folder is None else {str(p): p.read_bytes() for p in sorted(folder.glob("**/outcome.json"))}


def kill_one(process: psutil.Popen, victim: str) -> str:
    """Kill the parent, or one of its children chosen by the caller's word; returns which was killed, or "" for none."""
    if victim == "child":
        with suppress(psutil.NoSuchProcess):
            children = process.children(recursive=True)
            if children:
                children[-1].kill()
                return "child"
    if process.poll() is None:
        process.kill()
        return "parent"
    return ""


def gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Wait until processes have ended; returns those that have not."""
    return psutil.wait_procs(processes, SECONDS_TO_END)[1]


def kill_runs(kills: int, seed: int, folder: Path) -> Report:
    """Kill runs until so many kills were made; each run is resumed until it comes to its end.

    Parameters
    ----------
    kills
        How often to kill.
    seed
        Of the moments and of the processes that are killed.
    folder
        An empty folder.
    """
    rng, report = np.random.default_rng(seed), Report()
    screen = folder / "screen.h5ad"
    write_screen(screen)
    start(screen, folder / "warm").wait()  # prepares the data and fills the caches
    begun = time.monotonic()
    start(screen, folder / "whole").wait()
    whole = time.monotonic() - begun
    expected = tables(run_folder(folder / "whole"))
    number = 0
    while sum(report.kills.values()) < kills:
        out = folder / f"run{number}"
        _one_run(screen, out, whole, rng, report, expected)
        if report.faults:
            return report
        shutil.rmtree(out)
        number += 1
        print(f"{sum(report.kills.values())} of {kills} kills, {report.compared} runs compared", flush=True)
    return report


def _one_run(
    screen: Path, out: Path, whole: float, rng: np.random.Generator, report: Report, expected: dict[str, bytes]
) -> None:
    """Kill one run and resume it until a resumed run comes to its end, then compare its tables."""
    kept: dict[str, bytes] = {}
    while True:
        process = start(screen, out, jobs=int(rng.integers(1, 3)))
        share = rng.uniform(LATE, 1.0) if rng.random() < 0.4 else rng.uniform(0.05, 1.0)
        victim = "child" if rng.random() < 0.4 else "parent"
        with suppress(psutil.TimeoutExpired):
            process.wait(share * whole)
        tree = [process, *process.children(recursive=True)] if process.is_running() else []
        killed = kill_one(process, victim) if process.poll() is None else ""
        if killed == "child":
            process.wait()
        elif killed:
            left = gone(tree)
            report.faults += [f"{p.pid} ({' '.join(p.cmdline()[:4])}) outlived its killed run" for p in left]
        if killed:
            report.kills[f"{killed}, {_stage(out)}"] += 1
        now = outcomes(run_folder(out))
        report.faults += [f"{name} was lost or changed" for name, data in kept.items() if now.get(name) != data]
        kept = now if killed != "child" else {}
        if not killed:
            break
    report.compared += 1
    folder = run_folder(out)
    found = tables(folder) if folder else {}
    report.faults += [f"{out}: {name} differs" for name in expected if found.get(name) != expected[name]]


def _stage(out: Path) -> str:
    folder = run_folder(out)
    if folder is None:
        return "before training"
    done = len(outcomes(folder))
    return "tables" if done >= len(MODELS.split(",")) else "training"


def main() -> int:
    """Kill runs, print what was found; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="killed-runs-") as folder:
        report = kill_runs(options.kills, options.seed, Path(folder))
    print(f"{sum(report.kills.values())} kills: {dict(report.kills)}; {report.compared} runs compared")
    print("\n".join(report.faults) or "nothing was lost")
    return bool(report.faults)


if __name__ == "__main__":
    sys.exit(main())
