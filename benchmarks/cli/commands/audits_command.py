"""Audit a suite: what leakage, the wrong direction and batch correction do to its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from benchmarks.cli.console import say, tell_failures
from benchmarks.cli.options import DataDir, Folds, Jobs, Memory, PresetName, Seed, Threads, Timeout, choice, split_names

INTERRUPTED = "What was finished is kept: give the same command again."


def main(
    suite: Annotated[str, Option(help="Suite to audit; see `cycseq-bench run --list`.")],
    out: Annotated[Path, Option(help="Folder of runs and tables; what it holds is kept.")],
    only: Annotated[str, Option(help="Audits, comma-separated.")] = "protocols,direction,integration",
    models: Annotated[str, Option(help="Comma-separated; default: the suite's own list.")] = "",
    data_dir: DataDir = None,
    preset: PresetName = "quick",
    folds: Folds = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    threads: Threads = 1,
    timeout: Timeout = None,
    memory: Memory = None,
) -> None:
    """Run a suite held out and leaky, in the wrong direction, and batch-corrected; write audits.md, tables and figures.

    Exit status: 0 all went well, 1 some model failed, 2 the question or the data are not usable, 130 interrupted (what was
    finished is kept: give the same command again).
    """
    from benchmarks.analyses.suite_audits import run_audits
    from benchmarks.cli.progress import Display
    from benchmarks.execution.executor import Execution
    from benchmarks.execution.memory import parse_memory
    from benchmarks.tasks.question import PRESETS, Question

    question = Question(
        suite=suite,
        models=split_names(models),
        folds=folds,
        preset=choice("--preset", preset, PRESETS),
        base_seed=seed,
    )
    execution = Execution(
        jobs=jobs, threads=threads or 1, timeout=timeout, memory=parse_memory(memory), data_dir=data_dir
    )
    with Display() as display:
        paths, failures = run_audits(question, out, split_names(only), execution, display)
    say("\n".join(f"Wrote {path}" for path in paths))
    tell_failures(failures)
