"""What users wait for, as one table with targets: `python -m tests.bench.speed`, `make bench`.

start        CPU seconds of commands that do little
run          seven simple models on suite smoke, and a unit of it
calibration  `score` with references and planted predictors beside `score` without, in turn on the same files
cycseq       one optimisation step beside `torch.mm`, and what an epoch spends outside its steps
waiting      CycSeq's quick training alone and beside a second one that this program starts
leaderboard  the whole of `make leaderboard` (minutes; only when it is asked for)

Each repeat is a process of its own. The machine should be doing nothing else. Results: OUT/speed.csv, and what is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from tests.bench import peers, waiting
from tests.bench.process_tree import measure
from tests.bench.targets import Row, table

SEVEN = "no_change,train_mean,context_transfer,linear,knn,additive,own_gene"
PYTHON = [sys.executable, "-m"]
EPOCH_PERTURBATIONS = 100
"""Perturbations that draws are made of, to measure an epoch of; the paper's study has 4,728."""


def start(given: argparse.Namespace) -> Iterator[Row]:
    """Measure commands that end at once."""
    tiny = peers.prepare("tiny", _peers_options(given))
    score = [*PYTHON, "benchmarks.score", tiny["prediction"], "--truth", tiny["truth"]]
    score += ["--perturbation-key", tiny["column"], "--control", tiny["control"], "--out", str(given.out / "tiny")]
    commands = {
        "cycseq-bench --help": ([str(Path(sys.executable).with_name("cycseq-bench")), "--help"], 0.4),
        "cycseq-bench run --list": ([*PYTHON, "benchmarks.run", "--list"], 1.2),
        "score, two tiny files, --no-figures": ([*score, "--no-figures"], 2.5),
        "score, two tiny files": (score, float("inf")),
    }
    for what, (command, most) in commands.items():
        _quietly(command)  # compiled code and caches
        yield Row(what, "CPU s", [_quietly(command).cpu_seconds for _ in range(given.rounds)], at_most=most)


def run(given: argparse.Namespace) -> Iterator[Row]:
    """Measure the overhead of a run, on models that take no time themselves."""
    from benchmarks.execution.plan import make_plan
    from benchmarks.tasks.question import Question
    from tests.bench.executors import seconds_of

    with tempfile.TemporaryDirectory() as folder:
        command = [*PYTHON, "benchmarks.run", "--suite", "smoke", "--models", SEVEN, "--no-figures", "--out", folder]
        _quietly(command)
        seconds = [_quietly(command).seconds for _ in range(given.rounds)]
        yield Row("run of seven simple models on smoke", "s", seconds, at_most=15)
        plan = make_plan(Question("smoke", models=tuple(SEVEN.split(","))))
        each = [
            seconds_of(plan, "process", Path(folder) / str(number))[0] / len(plan.specs)
            for number in range(given.rounds)
        ]
        yield Row("a unit of it, two at a time", "s", each, at_most=0.5)


def calibration(given: argparse.Namespace) -> Iterator[Row]:
    """Measure `score` with calibration against `score` without."""
    options = _peers_options(given)
    for case in ("A", "C"):
        files = peers.prepare(case, options)
        seconds: dict[str, list[float]] = {"ours": [], "ours_calibrated": []}
        for _ in range(given.rounds):
            for name, found in seconds.items():
                found.append(float(str(peers.measure(name, files, options)["wall_s"])))
        ratios = [a / b for a, b in zip(seconds["ours_calibrated"], seconds["ours"], strict=True)]
        yield Row(f"score {case}, plain", "s", seconds["ours"])
        yield Row(f"score {case}, calibrated", "s", seconds["ours_calibrated"])
        yield Row(f"score {case}, calibrated / plain", "×", ratios, at_most=1.6)


def cycseq(given: argparse.Namespace) -> Iterator[Row]:
    """Measure a step against the matrix products that it needs, and an epoch against its steps."""
    step = [*PYTHON, "tests.bench.cycseq_step", "--threads", str(given.threads), "--cases", "paper, float32"]
    shares = []
    for _ in range(2 * given.rounds):
        words = subprocess.run(step, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1].split()
        shares.append(float(next(word for word in words if word.endswith("%")).rstrip("%")))
    yield Row("CycSeq's step, float32, paper's size: share of torch.mm's rate", "%", shares, at_least=75)
    epoch = [*PYTHON, "tests.bench.speed", "--epoch", "--threads", str(given.threads)]
    parts = [
        json.loads(subprocess.run(epoch, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for _ in range(given.rounds)
    ]
    for name in ("sampling", "validation", "checkpoint"):
        yield Row(f"CycSeq's epoch, paper's size: {name}", "%", [part[name] for part in parts])
    whole = [sum(part.values()) for part in parts]
    yield Row("CycSeq's epoch, paper's size: all outside its steps", "%", whole, at_most=5)


def epoch_parts(threads: int) -> dict[str, float]:
    """Shares, in %, of an epoch of the paper's study that is not its steps.

    Reading draws and validation grow with the number of perturbations as the steps do, and are measured on
    `EPOCH_PERTURBATIONS`; a checkpoint is written once an epoch, whatever its length.
    """
    import numpy as np
    import torch

    from cycseq import DrawStore, TrainConfig, Vocabulary
    from cycseq.data.sampling import VALIDATION_DRAWS
    from cycseq.model import Critics, Generators, Sizes
    from cycseq.training.loop import Run, Training
    from cycseq.training.validation import evaluate
    from tests.bench.cycseq_scale import N_BATCHES, Noise
    from tests.bench.cycseq_step import PAPER

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config, n_genes = TrainConfig(), PAPER.n_genes
    names = Vocabulary(
        tuple(f"G{i}" for i in range(n_genes)),
        tuple(f"P{i}" for i in range(EPOCH_PERTURBATIONS)),
        tuple(("K562", f"B{i}") for i in range(N_BATCHES)),
    )
    with tempfile.TemporaryDirectory() as place:
        n_draws = config.draws_per_condition
        parts = [Noise(EPOCH_PERTURBATIONS, n, n_genes, n) for n in (n_draws, VALIDATION_DRAWS)]
        store = DrawStore.write(Path(place) / "draws", names, *parts, (config, 0))
        train, size = store.train(), config.pretrain.batch_size
        nets = (
            Generators(Sizes(n_genes, PAPER.n_perturbations, N_BATCHES), config.model),
            Critics(Sizes(n_genes, PAPER.n_perturbations, N_BATCHES), config.model),
        )
        run = Run(config, config.pretrain, 0, lambda *_: None, state=Path(place) / "state")
        training = Training(*nets, train, store.validation(), run)
        training.stepper.step(next(train.epoch(size, np.random.default_rng(0))))
        reading = stepping = 0.0
        batches = train.epoch(size, np.random.default_rng(0))
        for _ in range(len(train) // size):
            begun = time.perf_counter()
            batch = next(batches)
            read = time.perf_counter()
            training.stepper.step(batch)
            reading, stepping = reading + read - begun, stepping + time.perf_counter() - read
        begun = time.perf_counter()
        evaluate(nets[0], store.validation())
        validation = time.perf_counter() - begun
        begun = time.perf_counter()
        training._keep()
        checkpoint = (time.perf_counter() - begun) * EPOCH_PERTURBATIONS / PAPER.n_perturbations
    whole = reading + stepping + validation + checkpoint
    seconds = {"sampling": reading, "validation": validation, "checkpoint": checkpoint}
    return {name: 100 * part / whole for name, part in seconds.items()}


def wait(given: argparse.Namespace) -> Iterator[Row]:
    """Measure trainings whose threads wait for each other, alone and two at a time."""
    rates: dict[tuple[str, int, int], list[float]] = {}
    settings = {"long": waiting.POLICIES["long (default of libgomp)"], "ours": waiting.POLICIES["short (ours)"]}
    for _ in range(given.rounds):
        for trainings in (1, 2):
            for name, policy in settings.items():
                found = waiting.measure(policy, trainings, given.threads, 10.0)
                rates.setdefault((name, given.threads, trainings), []).append(sum(found) / trainings)
            found = waiting.measure({}, trainings, 1, 10.0)
            rates.setdefault(("ours", 1, trainings), []).append(sum(found) / trainings)
    for (name, threads, trainings), values in rates.items():
        spinning = "" if threads == 1 else f", {name} spinning"
        yield Row(f"CycSeq quick, {trainings} training(s), {threads} thread(s){spinning}", "steps/s", values)
    key = "ours", given.threads, 1
    cost = [100 * (1 - a / b) for a, b in zip(rates[key], rates["long", given.threads, 1], strict=True)]
    yield Row("what short spinning costs a training alone", "%", cost, at_most=3)
    gain = [a / b for a, b in zip(rates["ours", given.threads, 2], rates["long", given.threads, 2], strict=True)]
    yield Row("what it gains two trainings at a time", "×", gain, at_least=1)


def leaderboard(given: argparse.Namespace) -> Iterator[Row]:
    """Measure what `make leaderboard` spends outside of fit and predict."""
    out = given.out / "leaderboard"
    found = _quietly([*PYTHON, "benchmarks.run", "--suite", "cropseq", "--out", str(out)])
    costs = pd.read_csv(max(out.glob("cropseq/*/costs.csv")))
    spent = costs["predict_seconds"].sum() + costs.loc[~costs["shared_training"], "fit_seconds"].sum()
    yield Row("make leaderboard", "s", [found.seconds])
    yield Row("make leaderboard: outside fit and predict", "%", [100 * (1 - spent / found.seconds)], at_most=5)


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "start": start,
    "run": run,
    "calibration": calibration,
    "cycseq": cycseq,
    "waiting": wait,
    "leaderboard": leaderboard,
}


def main() -> None:
    """Measure what was asked for; the table is written and printed after each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(name for name in PARTS if name != "leaderboard"), help="parts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/speed"))
    parser.add_argument("--epoch", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.epoch:
        print(json.dumps(epoch_parts(given.threads)))
        return
    unknown = set(given.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"--only {','.join(sorted(unknown))}: expected some of {','.join(PARTS)}.")
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for name in given.only.split(","):
        load = os.getloadavg()[0]
        rows += PARTS[name](given)
        table(rows).to_csv(given.out / "speed.csv", index=False)
        print(f"{name}: load {load:.1f} before it", flush=True)
    print(f"{os.cpu_count()} cores, {given.threads} threads where nothing else is said")
    print(table(rows).to_string(index=False))


def _quietly(command: list[str]):
    found = measure(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if found.status:
        raise SystemExit(f"{' '.join(command)}: exit status {found.status}")
    return found


def _peers_options(given: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(
        out=given.out, data_dir=None, threads=given.threads, timeout=900, scorers="ours,ours_calibrated"
    )


if __name__ == "__main__":
    main()
