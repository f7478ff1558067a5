"""Time of 24 units with 2 at a time, under `process` and `dask` in turn: `python -m tests.bench.executors --repeats 2`.

Seconds are those of the units alone, from the start of the executor to its end, with that of its workers; scoring is the same for
all. CPU seconds are those of all processes, and say more on a machine that does other work.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

if TYPE_CHECKING:  # this module is imported by every child of multiprocessing, so nothing else is imported here
    from benchmarks.execution.events import Event
    from benchmarks.execution.plan import Plan

EXECUTORS = ("process", "dask")


def seconds_of(plan: Plan, executor: str, folder: Path) -> np.ndarray:
    """Run a plan; returns the seconds of its units, and their CPU seconds."""
    from benchmarks.execution.events import RunStarted, ScoringProgressed, UnitEnded
    from benchmarks.execution.executor import Execution
    from benchmarks.execution.runner import run

    begun, ended, cpu = 0.0, 0.0, [0.0]

    def watch(event: Event) -> None:
        nonlocal begun, ended
        if isinstance(event, RunStarted | UnitEnded):  # workers are there until the last unit has ended
            cpu[1:] = [cpu_seconds()]
        if isinstance(event, RunStarted):
            begun, cpu[0] = time.perf_counter(), cpu[1]
        if isinstance(event, ScoringProgressed) and event.done == 0:
            ended = time.perf_counter()

    run(plan, folder, replace(Execution(jobs=2, figures=False), executor=executor), watch)
    return np.array([ended - begun, cpu[1] - cpu[0]])


def cpu_seconds() -> float:
    """CPU seconds of this process and all that it started, with those that have ended."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (own, *own.children(recursive=True)))


def main() -> None:
    """Print seconds and CPU seconds, and the ratios of the least of both."""
    from benchmarks.execution.plan import make_plan
    from benchmarks.tasks.question import Question
    from tests.faults.processes import tables

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="smoke")
    parser.add_argument("--models", default="linear,knn,context_transfer")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    plan = make_plan(Question(options.suite, models=tuple(options.models.split(",")), seeds=options.seeds))
    least = {executor: np.full(2, np.inf) for executor in EXECUTORS}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(options.repeats):
            found = set()
            for executor in EXECUTORS:
                folder = Path(temporary) / executor / str(number)
                seconds = seconds_of(plan, executor, folder)
                least[executor] = np.minimum(least[executor], seconds)
                found.add(tuple(tables(folder).items()))
                print(f"{executor:8s} {len(plan.specs)} units: {seconds[0]:.1f} s, {seconds[1]:.1f} CPU s", flush=True)
            print("tables are", "equal to the bit" if len(found) == 1 else "NOT EQUAL", flush=True)
    ratio = least["dask"] / least["process"]
    print(f"dask / process: {ratio[0]:.2f}, CPU {ratio[1]:.2f}")


if __name__ == "__main__":
    main()
