"""List, download, prepare, verify and summarise data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Column, Table
from typer import Argument, Exit, Option

from benchmarks.cli import options
from benchmarks.cli.console import EXIT_FAILED, console, say
from benchmarks.cli.options import choice
from benchmarks.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmarks.data.sources import Source
    from benchmarks.data.store.cell_store import CellStore

INTERRUPTED = "What was downloaded is kept: run the same command again to go on."
ACTIONS = ("list", "info", "fetch", "prepare", "verify", "summary")


def main(
    action: Annotated[str, Argument(help=f"One of {', '.join(ACTIONS)}.")],
    name: Annotated[str | None, Argument(help="Data set; see `list`. Not given with --h5ad.")] = None,
    data_dir: options.DataDir = None,
    out: Annotated[Path, Option(help="Where `summary` writes its tables and figure.")] = Path("results/data"),
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
) -> None:
    """Fetch, prepare, verify and summarise data sets.

    list: what there is. info: where a data set comes from, and what of it is here. fetch: download its files, several at a
    time, going on where a download stopped. prepare: read them into a store on disk. verify: hash files and store again.
    summary: cells per condition, depth, detection, control share, as tables and a figure.

    Exit status: 0 all went well, 1 `verify` found damage, 2 the request or the data are not usable, 130 interrupted (what
    was downloaded is kept).
    """
    if choice("The action", action, ACTIONS) == "list":
        _list(data_dir)
        return
    from benchmarks.data.own_file import OwnFile, own_source
    from benchmarks.data.sources import builtin

    if (name is None) == (h5ad is None):
        raise BenchmarkError("Name a data set, or give a file with --h5ad; one of the two.")
    controls = tuple(control or ())
    labels = perturbation_key, context_key, batch_key, dose_key, dose_unit, controls, separator, values, kind
    source = (
        own_source(OwnFile(h5ad, *labels, gene_key=gene_key, layer=layer)) if h5ad else builtin(str(name), data_dir)
    )
    if action == "summary":
        _summarise(source, data_dir, out)
    else:
        {"info": _info, "fetch": _fetch, "prepare": _prepare, "verify": _verify}[action](source, data_dir)


def _list(data_dir: Path | None) -> None:
    from benchmarks.data import cards
    from benchmarks.data.dataset import present
    from benchmarks.data.stand_ins import find_card

    columns = (Column(title, no_wrap=title != "what") for title in ("name", "what", "cells", "size", "files"))
    table = Table(*columns, box=None, padding=(0, 2))
    for name in cards.available():
        card = find_card(name, data_dir)
        size = sum(file.size for file in card.files)
        here = "made here" if not card.files else "here" if present(name, data_dir) else "away"
        table.add_row(name, card.title, card.source, _bytes(size) if size else "", here)
    console.print(table, markup=False, highlight=False)


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
        "prepared": f"{found.store.folder} ({_shape(found.store)})" if found else "no",
    }
    for key, text in lines.items():
        if text:
            say(f"{key:12s} {text}")
    for note in (*card.notes, *(found.notes() if found else ())):
        say(f"{'note':12s} {note}")
    for file in card.files:
        here = locate(file, data_dir)
        state = "is here" if here else f"from {file.url}" if file.url else file.where
        say(f"{'file':12s} {file.filename} {_bytes(file.size) if file.size else ''} {state}")


def _fetch(source: Source, data_dir: Path | None) -> None:

    from benchmarks.data.download import fetch_all, locate

    files = source.card.files
    found = fetch_all([file for file in files if file.url or locate(file, data_dir)], data_dir)
    for file in files:
        if file.key in found:
            say(f"{found[file.key].path}  sha256 {found[file.key].sha256}")
    fetch_all(files, data_dir)  # says what only a person can get
    say(f"{source.card.name}: all files are here." if files else f"{source.card.name} needs no files.")


def _prepare(source: Source, data_dir: Path | None) -> None:
    from benchmarks.data.store.prepared import prepare

    with console.status(f"preparing {source.card.name}") as status:
        found = prepare(source, data_dir, status.update)
    store = found.store
    say(f"{store.folder}: {_shape(store)}, {len(store.conditions):,} conditions")
    say(f"digest {store.digest}")
    for note in found.notes():
        say(f"note: {note}")


def _verify(source: Source, data_dir: Path | None) -> None:
    from benchmarks.data.store.prepared import verify

    findings = verify(source, data_dir)
    for finding in findings:
        say(f"{'ok     ' if finding.ok else 'DAMAGED'} {finding.what}: {finding.text}")
    if not all(finding.ok for finding in findings):
        raise Exit(EXIT_FAILED)


def _summarise(source: Source, data_dir: Path | None, out: Path) -> None:
    from benchmarks.data import summary
    from benchmarks.data.store.prepared import prepare
    from reports.figures.data_summary_figure import draw_cells
    from reports.figures.style import save

    prepared = prepare(source, data_dir, say)
    store = prepared.store
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
        say(f"{key:26s} {text}")
    say(contexts.round(3).to_string(index=False))
    for note in prepared.notes():
        say(f"note: {note}")
    say(f"{folder}: conditions.csv, contexts.csv, cells.png")


def _shape(store: CellStore) -> str:
    return f"{store.n_obs:,} cells × {store.n_vars:,} genes"


def _bytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"
