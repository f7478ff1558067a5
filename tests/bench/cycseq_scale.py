"""Pre-training that does not fit in memory: `python -m tests.bench.cycseq_scale --folder DIR`.

Writes draws of the paper's number (4,728 perturbations × 50 draws × 6,742 genes, 12.7 GB for both sides) from seeded
noise around profiles, takes some steps on them at the paper's size in a process of its own, translates the validation
draws, prints what that cost, and deletes the draws.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from cycseq import DrawStore, TrainConfig, Vocabulary
from cycseq.data.loader import PairBatch, PairLoader
from cycseq.data.sampling import VALIDATION_DRAWS
from cycseq.model import Critics, Generators, Sizes
from cycseq.training.step import Stepper
from cycseq.training.validation import evaluate

N_BATCHES, GIB = 30, 2**30


@dataclass(frozen=True)
class Noise:
    """Draws made up on the spot: a profile for each batch, an effect for each perturbation, seeded noise."""

    n_perturbations: int
    n_draws: int
    n_genes: int
    seed: int

    def __len__(self) -> int:
        return self.n_perturbations * self.n_draws

    @property
    def p(self) -> Int[np.ndarray, " pair"]:
        """Perturbations one after the other."""
        return np.repeat(np.arange(self.n_perturbations), self.n_draws)

    @property
    def b(self) -> Int[np.ndarray, " pair"]:
        """Each perturbation in one batch, as in the paper's pooled screens."""
        return self.p % N_BATCHES

    @property
    def dose(self) -> Float[np.ndarray, "pair dose"]:
        """No doses."""
        return np.zeros((len(self), 0), dtype=np.float32)

    @property
    def fingerprint(self) -> str:
        """The settings decide all values."""
        return repr(self)

    def take(self, rows: Int[np.ndarray, " row"]) -> PairBatch:
        """Make some pairs, each from a generator of its first row."""
        rng, fixed = np.random.default_rng((self.seed, rows[0])), np.random.default_rng(0)
        profiles = fixed.uniform(0, 4, (N_BATCHES, self.n_genes)).astype(np.float32)
        modes = fixed.normal(0, 0.3, (64, self.n_genes)).astype(np.float32)
        p, b = self.p[rows], self.b[rows]
        control, perturbed = (
            np.maximum(profiles[b] + 0.1 * rng.standard_normal((len(rows), self.n_genes), dtype=np.float32), 0)
            for _ in range(2)
        )
        parts = (control, np.maximum(perturbed + modes[p % 64], 0), p, b, self.dose[rows])
        return PairBatch(*map(torch.from_numpy, parts))


class AnonymousMemory(threading.Thread):
    """Peak of this process's RssAnon, read every 20 ms; mapped pages of files are the kernel's and not in it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.files, self.ended = 0, 0, threading.Event()

    def run(self) -> None:
        """Watch until `ended` is set."""
        while not self.ended.wait(0.02):
            found = {line.split()[0]: int(line.split()[1]) for line in open("/proc/self/status") if "Rss" in line}  # noqa: SIM115
            self.peak, self.files = max(self.peak, found["RssAnon:"]), max(self.files, found["RssFile:"])


def main() -> None:
    """Write, train in processes of their own, print, delete."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="needs 14 GB")
    parser.add_argument("--perturbations", type=int, default=4_728)
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--genes", type=int, default=6_742)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--do", choices=("write", "train"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.do:
        print(json.dumps(_watched(_write if given.do == "write" else _train, given)))
        return
    given.folder = Path(tempfile.mkdtemp(dir=given.folder, prefix="cycseq-scale-"))
    try:
        written, trained = _run("write", given), _run("train", given)
    finally:
        shutil.rmtree(given.folder)
    print(
        f"draws: {given.perturbations} perturbations × {given.draws} × {given.genes} genes, {written['gib']:.1f} GiB on "
        f"disk, written at {written['gib'] / written['seconds'] * 1.0737:.2f} GB/s, RssAnon peak {written['anon']:.2f} GiB\n"
        f"{given.steps} steps of 512 pairs: median {trained['step']:.2f} s, of which reading {trained['read']:.3f} s from "
        f"disk (not cached), {trained['cached']:.3f} s cached; validation of {trained['validated']} pairs "
        f"{trained['validation']:.1f} s\ntraining: RssAnon peak {trained['anon']:.2f} GiB, mapped {trained['files']:.2f} GiB"
    )


def _run(what: str, given: argparse.Namespace) -> dict[str, float]:
    sizes = ("perturbations", "draws", "genes", "steps")
    arguments = [word for name in sizes for word in (f"--{name}", str(getattr(given, name)))]
    command = [
        sys.executable,
        "-m",
        "tests.bench.cycseq_scale",
        "--do",
        what,
        "--folder",
        str(given.folder),
        *arguments,
    ]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _watched(work, given: argparse.Namespace) -> dict[str, float]:
    memory = AnonymousMemory()
    memory.start()
    found = work(given)
    memory.ended.set()
    memory.join()
    return found | {"anon": memory.peak * 1024 / GIB, "files": memory.files * 1024 / GIB}


def _write(given: argparse.Namespace) -> dict[str, float]:
    names = Vocabulary(
        tuple(f"G{i}" for i in range(given.genes)),
        tuple(f"P{i}" for i in range(given.perturbations)),
        tuple(("K562", f"B{i}") for i in range(N_BATCHES)),
    )
    parts = [Noise(given.perturbations, n, given.genes, n) for n in (given.draws, VALIDATION_DRAWS)]
    started = time.perf_counter()
    config = replace(TrainConfig(), draws_per_condition=given.draws)
    store = DrawStore.write(given.folder / "draws", names, *parts, (config, 0))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "gib": sum(file.stat().st_size for file in store.path.iterdir()) / GIB}


def _train(given: argparse.Namespace) -> dict[str, float]:
    store = DrawStore.open(given.folder / "draws")
    _forget(store)
    train, config = store.train(), TrainConfig()
    sizes = Sizes(given.genes, given.perturbations, N_BATCHES)
    torch.manual_seed(0)
    nets = Generators(sizes, config.model), Critics(sizes, config.model)
    stepper = Stepper(*nets, config, config.pretrain, train.statistics.variance)
    steps, reads = [], []
    for batch in _timed(train, given.steps, reads):
        begun = time.perf_counter()
        stepper.step(batch)
        steps.append(time.perf_counter() - begun)
    cached: list[float] = []
    for _ in _timed(train, given.steps, cached):
        pass
    begun = time.perf_counter()
    evaluate(nets[0], store.validation())
    return {
        "step": statistics.median(steps) + statistics.median(reads),
        "read": statistics.median(reads),
        "cached": statistics.median(cached),
        "validated": len(store.validation()),
        "validation": time.perf_counter() - begun,
    }


def _timed(loader: PairLoader, n: int, seconds: list[float]):
    """Give the first batches of one and the same shuffled epoch, noting what each took to read."""
    batches = loader.epoch(TrainConfig().pretrain.batch_size, np.random.default_rng(0))
    for _ in range(n):
        begun = time.perf_counter()
        batch = next(batches)
        seconds.append(time.perf_counter() - begun)
        yield batch


def _forget(store: DrawStore) -> None:
    """Ask the kernel to drop the store's pages from its cache, so that reading means the disk."""
    for file in store.path.glob("*.npy"):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
