"""Train CycSeq, its ablations and other models on several suites, with several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from benchmarks.cli.console import say, tell_failures
from benchmarks.cli.options import DataDir, Device, Jobs, Memory, PresetName, Threads, Timeout, choice, split_names

INTERRUPTED = "What was finished is kept: give the same command again."


def main(
    out: Annotated[Path, Option(help="Folder of runs and tables; what it holds of the study is kept.")],
    data_dir: DataDir = None,
    only: Annotated[str | None, Option(help="Suites, comma-separated: cropseq, kang, grid, smoke.")] = None,
    protocol: Annotated[str | None, Option(help="unseen_context or held_out_cells; default: both.")] = None,
    variants: Annotated[str | None, Option(help="Variants of CycSeq, without direction.")] = None,
    ablations: Annotated[str | None, Option(help="Ablations of the recipe, without direction.")] = None,
    others: Annotated[str | None, Option(help="Models to compare them with.")] = None,
    seeds: Annotated[int, Option(min=1, help="Seeds of each variant.")] = 5,
    ablation_seeds: Annotated[int, Option(min=1, help="Seeds of each ablation.")] = 5,
    preset: PresetName = "quick",
    jobs: Jobs = 1,
    threads: Threads = 1,
    timeout: Timeout = None,
    memory: Memory = None,
    device: Device = "cpu",
) -> None:
    """Write study.csv, study.md and figures.

    Exit status: 0 all went well, 1 some model failed, 2 the question or the data are not usable, 130 interrupted (what was
    finished is kept: give the same command again).
    """
    from benchmarks.analyses import cycseq_study as study
    from benchmarks.cli.progress import Display
    from benchmarks.execution.executor import Execution
    from benchmarks.execution.memory import parse_memory
    from benchmarks.tasks.question import PRESETS

    lists = {"variants": variants, "ablations": ablations, "others": others}
    wanted = study.Study(
        questions=study.find_questions(None if only is None else split_names(only), protocol),
        seeds=seeds,
        ablation_seeds=ablation_seeds,
        preset=choice("--preset", preset, PRESETS),
        **{name: split_names(text) for name, text in lists.items() if text is not None},
    )
    execution = Execution(
        jobs=jobs, threads=threads or 1, device=device, timeout=timeout, memory=parse_memory(memory), data_dir=data_dir
    )
    with Display() as display:
        paths, failures = study.run_study(wanted, out, execution, display)
    say("\n".join(f"Wrote {path}" for path in paths))
    tell_failures(failures)
