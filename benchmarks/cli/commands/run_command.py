"""Train and score predictors on a suite or on a file of yours; write a leaderboard and figures."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.cli import options
from benchmarks.cli.console import EXIT_FAILED, EXIT_USAGE, console, say, tell_failures
from benchmarks.cli.options import check_device, choice, count_cores, split_names
from benchmarks.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmarks.execution.collection import Collection
    from benchmarks.execution.plan import Plan
    from benchmarks.execution.runner import Result

INTERRUPTED = "What was finished is kept: run the same command with --resume to go on."


def main(
    suite: Annotated[
        str, typer.Option(help="Which suite, several comma-separated, or all (the paper's four); see --list.")
    ] = "cropseq",
    models: Annotated[str | None, typer.Option(help="Models, comma-separated; default: the suite's.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Which protocol; default: the suite's.")] = None,
    direction: Annotated[str, typer.Option(help="n2p (control → perturbed), p2n, or both: n2p,p2n.")] = "",
    perturbations: Annotated[
        str, typer.Option(help="Genes or compounds tested, comma-separated, or a set of the data's card; see --list.")
    ] = "",
    contexts: Annotated[str, typer.Option(help="Contexts (lines) they are tested in, comma-separated.")] = "",
    control_rule: Annotated[
        str, typer.Option(help="CROP-seq: nontargeting guides, or nk (unexposed cells of the same knock-out).")
    ] = "nontargeting",
    data: Annotated[
        str, typer.Option(help="auto, real or simulated; auto takes the real data where present.")
    ] = "auto",
    data_dir: options.DataDir = None,
    annotation: Annotated[Path | None, typer.Option(help="Gene annotation: GAF, NCBI gene2go or JSON.")] = None,
    space: Annotated[str, typer.Option(help="What counts become: cp10k (log2 of counts per 10,000) or raw.")] = "cp10k",
    integration: Annotated[str, typer.Option(help="ComBat to a reference: none, technical or per_condition.")] = "none",
    reference: Annotated[str | None, typer.Option(help="Reference batch; default: the one with most controls.")] = None,
    measured_only: Annotated[
        bool, typer.Option("--measured-only", help="Leave out perturbations of genes that are not measured.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 1,
    folds: options.Folds = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="model.key=value; repeatable.")] = None,
    preset: options.PresetName = "quick",
    plugin: options.Plugins = None,
    executor: Annotated[
        str, typer.Option(help="process (a child for each training) or inline (this process, for a debugger).")
    ] = "process",
    jobs: options.Jobs = 1,
    threads: options.Threads = None,
    timeout: options.Timeout = None,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    h5ad: options.OwnH5ad = None,
    perturbation_key: options.PerturbationKey = "perturbation",
    context_key: options.ContextKey = "",
    batch_key: options.BatchKey = "",
    dose_key: options.DoseKey = "",
    dose_unit: options.DoseUnit = "nM",
    control: options.Control = "",
    separator: options.Separator = "+",
    values: options.Values = "auto",
    kind: options.Kind = "CRISPR",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest run of the same data and splits.")
    ] = False,
    figures: Annotated[bool, typer.Option(help="Whether to draw figures.")] = True,
    show: Annotated[
        bool, typer.Option("--list", help="Show suites, models, protocols, data sets and metrics.")
    ] = False,
) -> None:
    """Train and score perturbation predictors on shared, leak-free splits; write a leaderboard and figures.

    Exit status: 0 all went well ("unsupported" is no failure), 1 some model failed or timed out, 2 the question or the data
    are not usable, 130 interrupted (what was finished is kept: --resume).
    """
    plugins = tuple(path.resolve() for path in plugin or ())
    if show:
        from benchmarks.cli.listing import print_lists

        print_lists(plugins)
        return
    from benchmarks.cli.progress import Display
    from benchmarks.data.own_file import OwnFile
    from benchmarks.execution.collection import run_suites
    from benchmarks.execution.executor import Execution
    from benchmarks.execution.plan import make_plan
    from benchmarks.execution.runner import run
    from benchmarks.tasks.batch_correction.batches import METHODS
    from benchmarks.tasks.question import CONTROL_RULES, DATA_SOURCES, PRESETS, SPACES, Question
    from benchmarks.tasks.suites import suite_names

    if models is not None and not split_names(models):  # such as an unset variable of a script; it does not mean all
        raise BenchmarkError("--models is empty; name models, or leave the option out for the suite's own list.")
    labels = perturbation_key, context_key, batch_key, dose_key, dose_unit, control, separator, values, kind
    question = Question(
        suite=suite,
        models=split_names(models or ""),
        protocol=protocol,
        directions=split_names(direction),
        perturbations=split_names(perturbations),
        contexts=split_names(contexts),
        control_rule=choice("--control-rule", control_rule, CONTROL_RULES),
        data=choice("--data", data, DATA_SOURCES),
        own=OwnFile(h5ad.resolve(), *labels) if h5ad else None,
        annotation=annotation,
        space=choice("--space", space, SPACES),
        integration=choice("--integration", integration, METHODS),
        reference=reference,
        measured_only=measured_only,
        seeds=seeds,
        folds=folds,
        settings=_settings(settings or []),
        preset=choice("--preset", preset, PRESETS),
        plugins=plugins,
        base_seed=seed,
    )
    execution = Execution(
        executor=executor,
        jobs=jobs,
        threads=threads or max(1, count_cores() // jobs),
        device=check_device(device),
        timeout=timeout,
        figures=figures,
        data_dir=data_dir,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's way of saying Ctrl-C
    names = suite_names(split_names(suite))
    if len(names) > 1 and not h5ad:
        with Display() as display:
            made = run_suites(names, question, out, execution, display, resume=resume)
        _finish_all(made, data_dir)
        return
    plan = make_plan(question, data_dir)
    with Display() as display:
        result = run(plan, _folder(plan, out, resume), execution, display)
    _finish(result)


def _finish(result: Result) -> None:
    """Print the leaderboard, the time and where the results are; ends with the exit status."""
    from reports import read_leaderboard
    from reports.pages.console import print_summary

    print_summary(read_leaderboard(result.folder / "leaderboard.csv"), console)
    share = f", of which {result.outside:.1f} s ({result.outside / result.seconds:.1%}) outside fit and predict"
    say(f"{result.seconds:.0f} s{share if result.outside >= 0 else ''}.")
    made = [n for n in ("leaderboard.md", "leaderboard.csv", "scores.csv", "figures") if (result.folder / n).exists()]
    say(f"Results: {result.folder} ({', '.join(made)})")
    tell_failures(result.failures)


def _finish_all(made: Collection, data_dir: Path | None) -> None:
    """Write the paper's page, print one table over all suites; ends with the exit status of the worst of them."""
    from benchmarks.analyses.paper_results import write_all
    from reports import read_leaderboard
    from reports.pages.console import print_index

    finished = {entry.suite: entry.folder for entry in made.entries if not entry.problem}
    for line in write_all(finished, made.folder / "paper", data_dir):
        say(line)
    print_index(read_leaderboard(made.folder / "summary.csv"), console)
    say(f"Results: {made.folder} (index.md, summary.csv)")
    for entry in made.unusable:
        console.print(f"[red]{entry.suite} was not run[/]: ", end="")
        say(entry.problem)
    tell_failures(made.failures, EXIT_USAGE if made.unusable else EXIT_FAILED)
    if made.unusable:
        raise typer.Exit(EXIT_USAGE)


def _folder(plan: Plan, out: Path, resume: bool) -> Path:
    """Choose the run's folder: a new one, or with --resume the newest of the same plan."""
    from benchmarks.execution.manifest import read_manifest

    root = out / plan.suite.name
    if resume:
        same = [p for p in root.glob("*") if p.is_dir() and read_manifest(p).get("key") == plan.key]
        if same:
            return max(same, key=lambda p: p.name)
        say(f"Nothing to resume in {root}: no run of the same data, splits, preset and seed. A new run starts.")
    stamp = datetime.now().strftime("%Y-%m-%dT%H%M%S")
    return root / f"{stamp}-{plan.protocol}-{plan.question.preset}"


def _settings(pairs: list[str]) -> dict[str, dict[str, object]]:
    """Parse `model.key=value`; the value is JSON where it can be, else text."""
    found: dict[str, dict[str, object]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        model, dot, key = name.partition(".")
        if not (equals and dot and key):
            raise BenchmarkError(f"--set {pair}: expected model.key=value, such as gears.epochs=5.")
        try:
            value: object = json.loads(text)
        except json.JSONDecodeError:
            value = text
        found.setdefault(model, {})[key] = value
    return found
