"""What preparing and reading cells costs against their number: `python -m tests.bench.cells`, `make bench-data`.

Cells are made up, streamed into a store, and read by condition and in full; every size runs in a process of its own. The disk's own sequential rate is measured in the same run on a file of the store's size, at most 4 GB.
Reads start with the file out of the system's cache. Results: OUT/cells.csv, OUT/cells.png; what was made is deleted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.data.store.cell_store import CELLS, CellStore
from benchmarks.data.store.store_writer import write_cells
from reports.figures.style import settings as figure_settings
from tests.bench.screens import Screen

PIECE = 64 << 20
LARGEST_PROBE = 4 << 30
CONDITIONS_READ = 200


def main() -> None:
    """Measure every size in a process of its own, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", default="100000,300000,1000000")
    parser.add_argument("--genes", type=int, default=6742)
    parser.add_argument("--per-cell", type=int, default=1000, help="genes with a count in a cell")
    parser.add_argument("--out", type=Path, default=Path("build/data"))
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(measure(given)))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in given.cells.split(","):
        command = [sys.executable, "-m", "tests.bench.cells", *sys.argv[1:], "--step", size]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CYCSEQ_CACHE": str(given.out.resolve() / "cache")}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
        rows.append(json.loads(done.stdout))
        table = pd.DataFrame(rows)
        table.to_csv(given.out / "cells.csv", index=False)
        print(table.iloc[-1].to_string(), "", sep="\n")
    draw(table).savefig(given.out / "cells.png", dpi=150)


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Prepare and read one screen; delete it."""
    folder = given.out / f"store{given.step}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        found = {"cells": given.step, **prepare(folder, given)}
        store = CellStore.open(folder)
        return {**found, **read(store), **probe(given.out, store.n_bytes), "peak_gb": peak_gb()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(given.out / "cache", ignore_errors=True)


def prepare(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """Write the store; the seconds that making the cells took are not counted."""
    screen = Screen(given.step, given.genes, given.per_cell)
    start = time.perf_counter()
    write_cells(folder, screen.blocks(), dataset="made-up", space="counts")
    os.sync()
    seconds = time.perf_counter() - start - screen.seconds
    return {
        "prepare_s": seconds,
        "prepare_cells_per_s": given.step / seconds,
        "generate_s": screen.seconds,
        "store_gb": (folder / CELLS).stat().st_size / 1e9,
        "prepare_peak_gb": peak_gb(),
    }


def read(store: CellStore) -> dict[str, float]:
    """Read single conditions, then all cells; the first of each comes from the disk."""
    rng = np.random.default_rng(1)
    chosen = store.conditions.iloc[rng.choice(len(store.conditions), CONDITIONS_READ)]
    keys = list(zip(chosen["context"], chosen["perturbation"], chosen["batch"], strict=True))
    found = {}
    store.rows(context=keys[0][0])
    store.values(np.array([0]))
    for name in ("first", "again"):
        if name == "first":
            forget(store.folder / CELLS)
        times = []
        for context, perturbation, batch in keys:
            start = time.perf_counter()
            store.values(store.rows(context=context, perturbation=perturbation, batch=batch))
            times.append(time.perf_counter() - start)
        found |= {
            f"condition_{name}_ms": 1e3 * np.median(times),
            f"condition_{name}_p95_ms": 1e3 * np.quantile(times, 0.95),
        }
    forget(store.folder / CELLS)
    start = time.perf_counter()
    total = sum(block.X.nnz for block in store.blocks())
    seconds = time.perf_counter() - start
    return {**found, "read_all_s": seconds, "read_mb_per_s": 8 * total / seconds / 1e6}


def probe(folder: Path, n_bytes: int) -> dict[str, float]:
    """Write and read a plain file: the disk's own sequential rate."""
    path, piece = folder / "probe", np.random.default_rng(3).bytes(PIECE)
    pieces = max(1, min(n_bytes, LARGEST_PROBE) // PIECE)
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(pieces):
            file.write(piece)
        os.fsync(file.fileno())
    written = time.perf_counter() - start
    forget(path)
    start = time.perf_counter()
    into = bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(into):
            pass
    seconds = time.perf_counter() - start
    path.unlink()
    return {"disk_write_mb_per_s": pieces * PIECE / written / 1e6, "disk_read_mb_per_s": pieces * PIECE / seconds / 1e6}


def forget(path: Path) -> None:
    """Take a file out of the system's cache."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def peak_gb() -> float:
    """Peak resident memory of this process, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def draw(table: pd.DataFrame) -> Figure:
    """Cost against cells."""
    panels = (
        ("seconds", {"prepare_s": "prepare", "read_all_s": "read all"}),
        ("GB", {"store_gb": "store on disk", "peak_gb": "peak memory"}),
        ("ms, one condition", {"condition_first_ms": "from the disk", "condition_again_ms": "again"}),
    )
    with figure_settings():
        figure = Figure(figsize=(9, 3), layout="constrained")
        for axes, (unit, lines) in zip(figure.subplots(1, 3), panels, strict=True):
            for column, label in lines.items():
                axes.plot(table["cells"] / 1000, table[column], marker="o", label=label)
            axes.set(xlabel="cells (thousands)", ylabel=unit, ylim=(0, None), xlim=(0, None))
            axes.legend()
        figure.suptitle("Made-up cells: one core's work, every size in a process of its own")
    return figure


if __name__ == "__main__":
    mpl.use("agg")
    main()
