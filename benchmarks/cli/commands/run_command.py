"""The command line: `python -m benchmarks.run --suite cropseq`."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import registry
from benchmarks.analyses.paper_results import write_all
from benchmarks.cli.exit_codes import EXIT_FAILED, EXIT_USAGE, exit_statuses, say, tell_failures
from benchmarks.cli.options import (
    BatchKey,
    ContextKey,
    Control,
    DataDir,
    DoseKey,
    DoseUnit,
    Kind,
    OwnH5ad,
    PerturbationKey,
    Separator,
    Values,
    choice,
    split_names,
)
from benchmarks.data import cards
from benchmarks.data.own_file import OwnFile
from benchmarks.errors import BenchmarkError
from benchmarks.execution.collection import Collection, run_suites, suite_names
from benchmarks.execution.manifest import read_manifest
from benchmarks.execution.plan import Plan, make_plan
from benchmarks.execution.runner import Result
from benchmarks.execution.watched import watched
from benchmarks.scoring.metrics import METRICS
from benchmarks.tasks.batch_correction.batches import METHODS
from benchmarks.tasks.protocols import PROTOCOLS
from benchmarks.tasks.question import CONTROL_RULES, Question
from benchmarks.tasks.suites import ALL, PAPER, SUITES
from reports import read_leaderboard
from reports.pages.console import print_index, print_summary

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console()


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
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
    data_dir: DataDir = None,
    annotation: Annotated[Path | None, typer.Option(help="Gene annotation: GAF, NCBI gene2go or JSON.")] = None,
    space: Annotated[str, typer.Option(help="What counts become: cp10k (log2 of counts per 10,000) or raw.")] = "cp10k",
    integration: Annotated[str, typer.Option(help="ComBat to a reference: none, technical or per_condition.")] = "none",
    reference: Annotated[str | None, typer.Option(help="Reference batch; default: the one with most controls.")] = None,
    measured_only: Annotated[
        bool, typer.Option("--measured-only", help="Leave out perturbations of genes that are not measured.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where results go.")] = Path("results"),
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 1,
    folds: Annotated[int | None, typer.Option(min=1, help="Number of folds; default: the preset's.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="model.key=value; repeatable.")] = None,
    preset: Annotated[str, typer.Option(help="quick (minutes) or paper (full training, all folds).")] = "quick",
    plugin: Annotated[list[Path] | None, typer.Option(help="A plugin file of yours; repeatable.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes at a time.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads per worker; default: cores / jobs.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds for one fit or one prediction.")] = None,
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda or mps.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Base seed.")] = 0,
    h5ad: OwnH5ad = None,
    perturbation_key: PerturbationKey = "perturbation",
    context_key: ContextKey = "",
    batch_key: BatchKey = "",
    dose_key: DoseKey = "",
    dose_unit: DoseUnit = "nM",
    control: Control = "",
    separator: Separator = "+",
    values: Values = "auto",
    kind: Kind = "CRISPR",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest run of the same data and splits.")
    ] = False,
    figures: Annotated[bool, typer.Option(help="Whether to draw figures.")] = True,
    show: Annotated[
        bool, typer.Option("--list", help="Show suites, models, protocols, data sets and metrics.")
    ] = False,
) -> None:
    """Train and score perturbation predictors on shared, leak-free splits; write a leaderboard and figures.

    Exit status: 0 all went well ("unsupported" is no failure), 1 some model failed or timed out, 2 the request or the data
    are not usable, 130 interrupted (what was finished is kept: --resume).
    """
    plugins = tuple(plugin or ())
    with exit_statuses(console, "What was finished is kept: run the same command with --resume to go on."):
        if show:
            _show(plugins)
            return
        labels = perturbation_key, context_key, batch_key, dose_key, dose_unit, control, separator, values, kind
        own = OwnFile(h5ad, *labels) if h5ad else None
        request = Question(
            suite=suite,
            models=_models(models),
            protocol=protocol,
            directions=split_names(direction),
            perturbations=_labels(perturbations),
            contexts=split_names(contexts),
            control_rule=choice("--control-rule", control_rule, CONTROL_RULES),
            data=choice("--data", data, ("auto", "real", "simulated")),
            own=own,
            data_dir=data_dir,
            annotation=annotation,
            space=choice("--space", space, ("cp10k", "raw")),
            integration=choice("--integration", integration, METHODS),
            reference=reference,
            measured_only=measured_only,
            seeds=seeds,
            folds=folds,
            settings=_settings(settings or []),
            preset=choice("--preset", preset, ("quick", "paper")),
            plugins=plugins,
            base_seed=seed,
            device=_device(device),
            threads=threads or max(1, _cores() // jobs),
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's way of saying Ctrl-C
        names = suite_names(suite)
        if len(names) > 1 and own is None:
            perform = partial(_run, workers=jobs, timeout=timeout, figures=figures)
            _finish_all(run_suites(names, request, out, perform, resume=resume), data_dir)
            return
        plan = make_plan(request)
        folder = _folder(plan, out, resume)
        result = _run(plan, folder, workers=jobs, timeout=timeout, figures=figures)
    _finish(result)


def _run(plan: Plan, folder: Path, *, workers: int, timeout: float | None, figures: bool) -> Result:
    about = plan.dataset.card
    console.print(f"[bold]{plan.suite.title}[/]", highlight=False)
    console.print(
        f"Data: {about.title} — {'SIMULATED' if about.source == 'simulated' else 'real cells'}; "
        f"{plan.cells.n_obs:,} cells × {plan.cells.n_vars:,} genes, {plan.space}",
        highlight=False,
    )
    console.print(
        f"Protocol {plan.protocol}, {len(plan.splits)} fold(s), preset {plan.request.preset}, "
        f"{plan.request.threads} thread(s) a worker; results in {folder}",
        highlight=False,
    )
    for warning in plan.dataset.warnings:
        console.print(f"[yellow]{warning}[/]", highlight=False, soft_wrap=True)
    return watched(plan, folder, console, workers=workers, timeout=timeout, figures=figures)


def _finish(result: Result) -> None:
    print_summary(read_leaderboard(result.folder / "leaderboard.csv"), console)
    share = f", of which {result.outside:.1f} s ({result.outside / result.seconds:.1%}) outside fit and predict"
    console.print(f"{result.seconds:.0f} s{share if result.outside >= 0 else ''}.", highlight=False)
    made = [n for n in ("leaderboard.md", "leaderboard.csv", "scores.csv", "figures") if (result.folder / n).exists()]
    console.print(f"Results: {result.folder} ({', '.join(made)})", highlight=False, soft_wrap=True)
    tell_failures(console, result.failures)


def _finish_all(made: Collection, data_dir: Path | None) -> None:
    """Write the paper's page, print one table over all suites; ends with the exit status of the worst of them."""
    finished = {entry.suite: entry.folder for entry in made.entries if not entry.problem}
    for line in write_all(finished, made.folder / "paper", data_dir):
        say(console, line)
    print_index(read_leaderboard(made.folder / "summary.csv"), console)
    console.print(f"Results: {made.folder} (index.md, summary.csv)", highlight=False, soft_wrap=True)
    for entry in made.unusable:
        console.print(f"[red]{entry.suite} was not run[/]: ", end="")
        say(console, entry.problem)
    tell_failures(console, made.failures, EXIT_USAGE if made.unusable else EXIT_FAILED)
    if made.unusable:
        raise typer.Exit(EXIT_USAGE)


def _folder(plan: Plan, out: Path, resume: bool) -> Path:
    """Choose the run's folder: a new one, or with --resume the newest of the same plan."""
    root = out / plan.suite.name
    if resume:
        same = [p for p in root.glob("*") if p.is_dir() and read_manifest(p).get("key") == plan.key]
        if same:
            return max(same, key=lambda p: p.name)
        console.print(f"Nothing to resume in {root}: no run of the same data, splits, preset and seed. Starting anew.")
    stamp = datetime.now().strftime("%Y-%m-%dT%H%M%S")
    return root / f"{stamp}-{plan.protocol}-{plan.request.preset}"


def _models(text: str | None) -> tuple[str, ...]:
    """Split --models; an empty text is a mistake (an unset variable of a script), not a wish for all."""
    if text is not None and not split_names(text):
        raise BenchmarkError("--models is empty; name models, or leave the option out for the suite's own list.")
    return split_names(text or "")


def _device(name: str) -> str:
    """Check a Torch device by name; whether it is there, the models find out."""
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise BenchmarkError(f"--device is '{name}'; expected cpu, cuda, cuda:N or mps.")
    return name


def _labels(text: str) -> tuple[str, ...]:
    """Split names of perturbations at commas, but not inside brackets: compounds have them there."""
    return tuple(part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip())


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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _show(plugins: tuple[Path, ...]) -> None:
    rows = {
        "Suites (--suite)": [*((s.name, s.title) for s in SUITES.values()), (ALL, f"{', '.join(PAPER)}, one by one")],
        "Sets of perturbations (--perturbations)": [
            (f"{name} {key}", f"{found.summary}: {', '.join(found.perturbations)}")
            for name in cards.available()
            for key, found in cards.read_card(name).sets.items()
        ],
        "Models (--models)": [
            (b.name, f"{b.summary} [{', '.join(b.directions)}; {b.can}]") for b in registry.available(plugins).values()
        ],
        "Protocols (--protocol)": [(p.name, p.summary) for p in PROTOCOLS.values()],
        "Data sets": [(n, f"{cards.read_card(n).title} [{cards.read_card(n).source}]") for n in cards.available()],
        "Metrics": [(m.name, m.summary) for m in METRICS],
    }
    for title, entries in rows.items():
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column()
        for name, text in entries:
            table.add_row(name, text.replace("[", "\\["))
        console.print(table)
        console.print()


if __name__ == "__main__":
    app()
