"""Train and score predictors on a suite or on a file of yours; write a leaderboard and figures."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from benchmarks.cli import options
from benchmarks.cli.console import EXIT_FAILED, EXIT_USAGE, console, say, tell_failures
from benchmarks.cli.options import choice, split_names
from benchmarks.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmarks.execution.plan import Plan
    from benchmarks.execution.runner import Result
    from benchmarks.execution.unit_list import UnitList
    from reports.pages.index_page import Entry

INTERRUPTED = "What was finished is kept: run the same command with --resume to go on."


def main(
    suite: Annotated[
        str, Option(help="Which suite, several comma-separated, or all (the paper's four); see --list.")
    ] = "cropseq",
    models: Annotated[str | None, Option(help="Models, comma-separated; default: the suite's.")] = None,
    protocol: Annotated[str | None, Option(help="Which protocol; default: the suite's.")] = None,
    direction: Annotated[str, Option(help="n2p (control → perturbed), p2n, or both: n2p,p2n.")] = "",
    perturbations: Annotated[str, Option(help="Genes or compounds, comma-separated, or a named set; see --list.")] = "",
    contexts: Annotated[str, Option(help="Contexts (lines) they are tested in, comma-separated.")] = "",
    control_rule: Annotated[
        str, Option(help="CROP-seq: nontargeting guides, or nk (unexposed cells of the same knock-out).")
    ] = "nontargeting",
    data: Annotated[str, Option(help="real, simulated, or auto: real where present.")] = "auto",
    data_dir: options.DataDir = None,
    annotation: Annotated[Path | None, Option(help="Gene annotation: GAF, NCBI gene2go or JSON.")] = None,
    space: Annotated[str, Option(help="What counts become: cp10k (log2 of counts per 10,000) or raw.")] = "cp10k",
    integration: Annotated[str, Option(help="ComBat to a reference: none, technical or per_condition.")] = "none",
    reference: Annotated[str | None, Option(help="Reference batch; default: the one with most controls.")] = None,
    measured_only: Annotated[bool, Option("--measured-only", help="Only perturbations of measured genes.")] = False,
    out: Annotated[Path, Option(help="Folder of results.")] = Path("results"),
    name: options.FolderName = "",
    seeds: Annotated[int, Option(min=1, help="Number of seeds.")] = 1,
    input_cells: Annotated[
        int | None, Option(min=2, help="Most cells that a prediction starts from; default: 512.")
    ] = None,
    folds: options.Folds = None,
    settings: Annotated[list[str] | None, Option("--set", help="model.key=value; repeatable.")] = None,
    preset: options.PresetName = "quick",
    plugin: options.Plugins = None,
    executor: Annotated[
        str, Option(help="process (a child a training), inline (no child, to debug), dask or slurm; see docs/scale.md.")
    ] = "process",
    scheduler: Annotated[str | None, Option(help="dask: address of a scheduler, tcp://HOST:PORT.")] = None,
    cluster_file: Annotated[Path | None, Option(help="dask, slurm: parameters of the cluster, TOML or YAML.")] = None,
    bundle: Annotated[int | None, Option(min=1, help="slurm: short units of one job; default: 4.")] = None,
    jobs: options.Jobs = 1,
    threads: options.Threads = None,
    timeout: options.Timeout = None,
    memory: options.Memory = None,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    h5ad: options.OwnH5ad = None,
    perturbation_key: options.PerturbationKey = "perturbation",
    context_key: options.ContextKey = "",
    batch_key: options.BatchKey = "",
    dose_key: options.DoseKey = "",
    dose_unit: options.DoseUnit = "nM",
    control: options.Control = None,
    separator: options.Separator = "+",
    values: options.Values = "auto",
    kind: options.Kind = "CRISPR",
    gene_key: options.GeneKey = "",
    layer: options.Layer = "X",
    prove: Annotated[
        bool, Option("--prove", help="Train again on noise in place of hidden cells: equal predictions prove no leak.")
    ] = False,
    keep_predictions: Annotated[
        bool,
        Option("--keep-predictions", help="Keep predicted cells, which some analyses need, not mean profiles alone."),
    ] = False,
    plan: Annotated[
        Path | None, Option(help="Make this folder with all that its units need, and print how to run them elsewhere.")
    ] = None,
    unit: Annotated[int | None, Option(min=0, help="Do one unit of the folder PLANNED, which --plan made.")] = None,
    planned: Annotated[Path | None, Argument(help="Folder of --unit.")] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with the newest run of the same data.")] = False,
    figures: Annotated[bool, Option(help="Whether to draw figures.")] = True,
    show: Annotated[bool, Option("--list", help="Show suites, models, data sets, metrics.")] = False,
) -> None:
    """Train and score perturbation predictors on shared, leak-free splits; write a leaderboard and figures.

    Exit status: 0 all went well ("unsupported" is no failure), 1 some model failed or timed out, 2 the question or the data
    are not usable, 130 stopped by Ctrl-C or SIGTERM (what was finished is kept: --resume).

    Elsewhere: `run --plan DIR` and the options of the question, then `run --unit N DIR` for each unit on any machines that
    share the disk, in any order and number, then `collect DIR`. All units and a plain run have the same tables.
    """
    plugins = tuple(path.resolve() for path in plugin or ())
    if show:
        from benchmarks.cli.listing import print_lists

        print_lists(plugins)
        return
    if unit is not None or planned is not None:
        _do_unit(planned, unit, plugins, data_dir)
        return
    from benchmarks.cli.progress import Display
    from benchmarks.data.own_file import OwnFile
    from benchmarks.execution.collection import run_suites
    from benchmarks.execution.executor import Execution
    from benchmarks.execution.machine import tell_busy, usable_cores
    from benchmarks.execution.memory import parse_memory
    from benchmarks.execution.plan import make_plan
    from benchmarks.execution.runner import plan_units, run
    from benchmarks.tasks.batch_correction.batches import METHODS
    from benchmarks.tasks.protocol import INPUT_CELLS
    from benchmarks.tasks.question import CONTROL_RULES, DATA_SOURCES, PRESETS, SPACES, Question
    from benchmarks.tasks.suites import suite_names

    if models is not None and not split_names(models):  # such as an unset variable of a script; it does not mean all
        raise BenchmarkError("--models is empty; name models, or leave the option out for the suite's own list.")
    controls = tuple(control or ())
    labels = perturbation_key, context_key, batch_key, dose_key, dose_unit, controls, separator, values, kind
    question = Question(
        suite=suite,
        models=split_names(models or ""),
        protocol=protocol,
        directions=split_names(direction),
        perturbations=split_names(perturbations),
        contexts=split_names(contexts),
        control_rule=choice("--control-rule", control_rule, CONTROL_RULES),
        data=choice("--data", data, DATA_SOURCES),
        own=OwnFile(h5ad.resolve(), *labels, gene_key=gene_key, layer=layer) if h5ad else None,
        annotation=annotation.resolve() if annotation else None,
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
        input_cells=input_cells or INPUT_CELLS,
    )
    execution = Execution(
        executor=executor,
        jobs=jobs,
        threads=threads or max(1, usable_cores() // jobs),
        device=device,
        timeout=timeout,
        prove=prove,
        keep_predictions=keep_predictions,
        memory=parse_memory(memory),
        figures=figures,
        data_dir=data_dir.resolve() if data_dir else None,
        scheduler=scheduler,
        cluster_file=cluster_file.resolve() if cluster_file else None,
        bundle=bundle,
    )
    names = suite_names(split_names(suite))
    if plan and len(names) > 1:
        raise BenchmarkError(
            f"--plan makes the folder of one suite; --suite has {', '.join(names)}. Plan each of them."
        )
    if len(names) > 1 and not h5ad:
        with Display() as display:
            folder, entries = run_suites(names, question, out, execution, display, name=name, resume=resume)
        _finish_all(folder, entries, data_dir)
        return
    made = make_plan(question, data_dir)
    if plan:
        with Display() as display:
            units = plan_units(made, plan, execution, display)
        _tell_units(units, plan.resolve())
        return
    here = executor in ("process", "inline")  # others train on other machines
    if here and (busy := tell_busy(execution.jobs * execution.threads)):
        say(busy)
    with _folder(made, out, name, resume) as place:
        try:
            with Display() as display:
                result = run(made, place, execution, display)
        except KeyboardInterrupt:
            _tell_saved(place)
            raise
    finish(result)


def _do_unit(folder: Path | None, number: int | None, plugins: tuple[Path, ...], data_dir: Path | None) -> None:
    """Do one unit of a planned run; ends with the exit status."""
    from benchmarks.cli.progress import Display
    from benchmarks.execution.worker import do_unit
    from benchmarks.scoring.endings import FAILURES

    if folder is None or number is None:
        raise BenchmarkError("Give both a number and the folder of a planned run: run --unit N FOLDER.")
    with Display() as display:
        display.units = 1
        data = data_dir.resolve() if data_dir else None
        done = do_unit(folder, number, display, plugins=plugins, data_dir=data)
    tell_failures(sum(ending.status in FAILURES for ending in done.endings))


def _tell_units(units: UnitList, folder: Path) -> None:
    """Print how the units of a planned run are done elsewhere, and collected."""
    program = shlex.join([sys.executable, "-m"])
    where = " ".join(
        ["", *(f"--plugin {shlex.quote(str(p))}" for p in units.question.plugins), shlex.quote(str(folder))]
    )
    last = len(units.units) - 1
    if not units.units:
        say("Nothing is left to train.")
    else:
        say(f"{last + 1} unit(s), 0 to {last}, are described in {folder / 'units.json'}. On a SLURM cluster:")
        options = " ".join([f"--array=0-{last}", *units.resource_options()])
        work = f"{program} benchmarks.run --unit $SLURM_ARRAY_TASK_ID{where}"
        say(f"sbatch {options} --wrap {shlex.quote(work)}")
    say(f"Then: {program} benchmarks.collect{where}")


def show_results(folder: Path) -> None:
    """Print the leaderboard of a run, and the files that hold the results; nothing where there is none yet."""
    from reports import read_leaderboard
    from reports.pages.console import print_summary

    if (folder / "leaderboard.csv").is_file():
        print_summary(read_leaderboard(folder / "leaderboard.csv"), console)
    _tell_files(folder)


def _tell_saved(folder: Path) -> None:
    """Print what an interrupted run has saved, and which models have not run."""
    from reports import read_leaderboard

    if (folder / "leaderboard.csv").is_file():
        board = read_leaderboard(folder / "leaderboard.csv")
        missing = sorted(set(board.loc[board["n_not_run"] > 0, "model"]))
        say(f"INCOMPLETE run; not run, or not in all folds and seeds: {', '.join(missing)}")
    _tell_files(folder)


def _tell_files(folder: Path) -> None:
    """Print the files that hold the results of a run; nothing where there is none yet."""
    names = ("report.html", "leaderboard.md", "leaderboard.csv", "scores.csv", "figures")
    made = [name for name in names if (folder / name).exists()]
    if made:
        say(f"Results: {folder} ({', '.join(made)})")


def finish(result: Result) -> None:
    """Print the leaderboard, the time and where the results are; ends with the exit status."""
    outside = result.seconds - result.model_seconds  # negative where several models ran at a time
    took = f"{result.seconds:.0f} s"
    if outside >= 0:
        took += f", of which {outside:.1f} s ({outside / result.seconds:.1%}) outside fit and predict"
    say(f"{took}.")
    show_results(result.folder)
    tell_failures(result.failures)


def _finish_all(folder: Path, entries: list[Entry], data_dir: Path | None) -> None:
    """Write the paper's page, print one table over all suites; ends with the exit status of the worst of them."""
    from benchmarks.analyses.paper_results import write_all
    from reports import read_leaderboard
    from reports.pages.console import print_index

    finished = {entry.suite: entry.folder for entry in entries if not entry.problem}
    for line in write_all(finished, folder / "paper", data_dir):
        say(line)
    print_index(read_leaderboard(folder / "summary.csv"), console)
    say(f"Results: {folder} (index.md, summary.csv)")
    unusable = [entry for entry in entries if entry.problem]
    for entry in unusable:
        console.print(f"[red]{entry.suite} was not run[/]: ", end="")
        say(entry.problem)
    tell_failures(sum(entry.failures for entry in entries), EXIT_USAGE if unusable else EXIT_FAILED)
    if unusable:
        raise Exit(EXIT_USAGE)


@contextmanager
def _folder(plan: Plan, out: Path, name: str, resume: bool) -> Iterator[Path]:
    """Choose the run's folder: a new one, or with --resume the one that is named, or the newest of the same plan."""
    from benchmarks.execution.manifest import read_manifest
    from benchmarks.execution.run_folders import check_name, folders_in, new_folder, point_latest

    root = out / plan.suite.name
    if name:
        known = [path for path in folders_in(root) if path.name == check_name(name)]
    else:
        known = [path for path in folders_in(root) if read_manifest(path).get("key") == plan.key]
    if resume and known:
        point_latest(known[-1])
        yield known[-1]
        return
    if resume:
        say(f"Nothing to resume in {root}: no run of the same data, splits, preset and seed. A new run starts.")
    with new_folder(root, name, f"-{plan.protocol}-{plan.question.preset}") as folder:
        yield folder


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
