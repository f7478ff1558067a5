"""List, download, prepare, verify and summarise data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.cli.exit_codes import exit_statuses, say
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
)
from benchmarks.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmarks.data.cards import SourceFile
    from benchmarks.data.own_file import OwnFile
    from benchmarks.data.sources import Source

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console()
EXIT_DAMAGED = 1
ACTIONS = ("list", "info", "fetch", "prepare", "verify", "summary")


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def main(
    action: Annotated[str, typer.Argument(help=f"One of {', '.join(ACTIONS)}.")],
    name: Annotated[str | None, typer.Argument(help="Data set; see `list`. Not given with --h5ad.")] = None,
    data_dir: DataDir = None,
    out: Annotated[Path, typer.Option(help="Where `summary` writes its tables and figure.")] = Path("results/data"),
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
) -> None:
    """Fetch, prepare, verify and summarise data sets.

    list: what there is. info: where a data set comes from, and what of it is here. fetch: download its files, several at a
    time, going on where a download stopped. prepare: read them into a store on disk. verify: hash files and store again.
    summary: cells per condition, depth, detection, control share, as tables and a figure.

    Exit status: 0 all went well, 1 `verify` found damage, 2 the request or the data are not usable, 130 interrupted (what
    was downloaded is kept).
    """
    with exit_statuses(console, "What was downloaded is kept: run the same command again to go on."):
        chosen = choice("The action", action, ACTIONS)
        if chosen == "list":
            _list(data_dir)
            return
        labels = perturbation_key, context_key, batch_key, dose_key, dose_unit, control, separator, values, kind
        own = None
        if h5ad:
            from benchmarks.data.own_file import OwnFile

            own = OwnFile(h5ad, *labels)
        source = _source(name, own)
        if chosen == "info":
            _info(source, data_dir)
        elif chosen == "fetch":
            _fetch(source, data_dir)
        elif chosen == "prepare":
            _prepare(source, data_dir)
        elif chosen == "verify":
            _verify(source, data_dir)
        else:
            _summarise(source, data_dir, out)


def _source(name: str | None, own: OwnFile | None) -> Source:
    from benchmarks.data.own_file import own_source
    from benchmarks.data.sources import builtin

    if (name is None) == (own is None):
        raise BenchmarkError("Name a data set, or give a file with --h5ad; one of the two.")
    return own_source(own) if own else builtin(str(name))


def _list(data_dir: Path | None) -> None:
    from benchmarks.data import cards
    from benchmarks.data.dataset import present

    table = Table(box=None, padding=(0, 2))
    for title in ("name", "what", "cells", "size", "files"):
        table.add_column(title, no_wrap=title != "what")
    for name in cards.available():
        card = cards.read_card(name)
        size = sum(file.size for file in card.files)
        here = "made here" if not card.files else "here" if present(name, data_dir) else "away"
        table.add_row(name, card.title, card.source, _bytes(size) if size else "", here)
    console.print(table, highlight=False)


def _info(source: Source, data_dir: Path | None) -> None:
    from benchmarks.data.download import locate
    from benchmarks.data.store.prepared import prepared

    card, found = source.card, prepared(source, data_dir)
    unseen = [file.filename for file in card.files if not file.sha256]
    lines = {
        "title": card.title,
        "description": card.description,
        "cells": f"{card.source}, {card.perturbation_type}, {card.space}",
        "controls": card.control_rule,
        "licence": card.licence,
        "citation": card.citation,
        "homepage": card.homepage,
        "verified": f"no sha256 is known of {len(unseen)} of {len(card.files)} files" if unseen else "",
        "prepared": f"{found.store.folder} ({found.store.n_obs:,} cells × {found.store.n_vars:,} genes)"
        if found
        else "no",
    }
    for key, text in lines.items():
        if text:
            _say(f"{key:12s} {text}")
    for note in (*card.notes, *(found.notes() if found else ())):
        _say(f"{'note':12s} {note}")
    for file in card.files:
        here = locate(file, data_dir)
        _say(f"{'file':12s} {file.filename} {_bytes(file.size) if file.size else ''} {_state(file, here is not None)}")


def _state(file: SourceFile, here: bool) -> str:
    return "is here" if here else f"from {file.url}" if file.url else file.where


def _fetch(source: Source, data_dir: Path | None) -> None:
    from benchmarks.data.download import fetch_all, locate

    files = source.card.files
    found = fetch_all([file for file in files if file.url or locate(file, data_dir)], data_dir)
    for file in files:
        if file.key in found:
            _say(f"{found[file.key].path}  sha256 {found[file.key].sha256}")
    fetch_all(files, data_dir)  # says what only a person can get
    _say(f"{source.card.name}: all files are here." if files else f"{source.card.name} needs no files.")


def _prepare(source: Source, data_dir: Path | None) -> None:
    from benchmarks.data.store.prepared import prepare

    with console.status(f"preparing {source.card.name}") as status:
        found = prepare(source, data_dir, status.update)
    store = found.store
    _say(f"{store.folder}: {store.n_obs:,} cells × {store.n_vars:,} genes, {len(store.conditions):,} conditions")
    _say(f"digest {store.digest}")
    for note in found.notes():
        _say(f"note: {note}")


def _verify(source: Source, data_dir: Path | None) -> None:
    from benchmarks.data.store.prepared import verify

    findings = verify(source, data_dir)
    for finding in findings:
        _say(f"{'ok     ' if finding.ok else 'DAMAGED'} {finding.what}: {finding.text}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_DAMAGED)


def _summarise(source: Source, data_dir: Path | None, out: Path) -> None:
    from benchmarks.data.store.prepared import prepare

    store = prepare(source, data_dir, _say).store
    from benchmarks.data import summary
    from reports.figures.data_summary_figure import draw_cells
    from reports.figures.style import save

    cells = summary.measure_cells(store)
    conditions, contexts = summary.per_condition(cells), summary.per_context(cells)
    folder = out / source.card.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        conditions.to_csv(folder / "conditions.csv", index=False)
        contexts.to_csv(folder / "contexts.csv", index=False)
        unit = "counts" if store.space == "counts" else f"sum of values ({store.space})"
        title = f"{source.card.title}{' — SIMULATED' if source.card.source == 'simulated' else ''}"
        save(draw_cells(conditions, cells, title, unit), folder / "cells", svg=False)
    except OSError as error:
        raise BenchmarkError(f"{folder} cannot be written: {error.strerror or error}; choose another --out.") from error
    for key, text in summary.totals(store, cells).items():
        _say(f"{key:26s} {text}")
    _say(contexts.round(3).to_string(index=False))
    _say(f"{folder}: conditions.csv, contexts.csv, cells.png")


def _bytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


def _say(text: str) -> None:
    say(console, text)
