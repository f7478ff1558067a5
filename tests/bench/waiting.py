"""Trainings on a machine that does something else too: `python -m tests.bench.waiting`.

Steps a second of CycSeq's quick training with as many threads as there are cores: alone, and beside a second training that this
program starts; in turn with threads that spin for long while they wait for each other, briefly (as `benchmarks` and `cycseq` set
it), and not at all, and with one thread. Prints medians of the rounds with their range.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import torch

from benchmarks.execution.machine import usable_cores
from cycseq import preset
from cycseq.data.loader import PairBatch
from cycseq.model import Critics, Generators, Sizes
from cycseq.training.step import Stepper

SIZES = Sizes(n_genes=1_000, n_perturbations=60, n_batches=4)
BATCH = 64
POLICIES = {
    "long (default of libgomp)": {"GOMP_SPINCOUNT": "300000"},
    "short (ours)": {"GOMP_SPINCOUNT": "2000"},
    "none": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def main() -> None:
    """Measure in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--seconds", type=float, default=10.0, help="of each training")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(rate(given.threads, given.seconds))
        return
    rows = []
    for number in range(given.rounds):
        for spinning, threads in [*((policy, given.threads) for policy in POLICIES), ("", 1)]:
            for trainings in (1, 2):
                for found in measure(POLICIES.get(spinning, {}), trainings, threads, given.seconds):
                    labels = {"trainings": trainings, "threads": threads, "spinning": spinning, "round": number}
                    rows.append(labels | {"steps/s": found})
    table = pd.DataFrame(rows).groupby(["trainings", "threads", "spinning"], sort=False)["steps/s"]
    print(f"{usable_cores()} cores")
    print(table.agg(["median", "min", "max"]).round(1).to_string())


def measure(policy: dict[str, str], trainings: int, threads: int, seconds: float) -> list[float]:
    """Run so many trainings at a time; returns the steps a second of each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    command = [sys.executable, "-m", "tests.bench.waiting", "--work"]
    command += ["--threads", str(threads), "--seconds", str(seconds)]
    started = [
        subprocess.Popen(command, env=environment | policy, stdout=subprocess.PIPE, text=True) for _ in range(trainings)
    ]
    return [float(process.communicate()[0]) for process in started]


def rate(threads: int, seconds: float) -> float:
    """Train for some seconds; returns steps a second."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = preset("paper_quick")
    config = replace(config, precision="float32")
    stepper = Stepper(
        Generators(SIZES, config.model), Critics(SIZES, config.model), config, config.pretrain, variance=1.0
    )
    control, perturbed = 3 * torch.rand(2, BATCH, SIZES.n_genes)
    p, b = torch.randint(SIZES.n_perturbations, (BATCH,)), torch.randint(SIZES.n_batches, (BATCH,))
    batch = PairBatch(control, perturbed, p, b, torch.zeros(BATCH, 0))
    for _ in range(3):
        stepper.step(batch)
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        stepper.step(batch)
        steps += 1
    return steps / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
