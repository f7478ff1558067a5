"""Import tables of results of other programs: our statistics, page and figures of their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from benchmarks.cli.console import EXIT_FAILED, console, say
from benchmarks.cli.options import FolderName, choice
from benchmarks.errors import BenchmarkError


def main(
    form: Annotated[str, Argument(help="Which program wrote the tables: cell-eval or scperturbench.")],
    files: Annotated[
        list[str], Argument(metavar="FILE...", help="Tables; FILE, MODEL=FILE or MODEL/CONTEXT=FILE (cell-eval).")
    ],
    higher_is_better: Annotated[list[str] | None, Option(help="A metric of which more is better; repeatable.")] = None,
    lower_is_better: Annotated[list[str] | None, Option(help="A metric of which less is better; repeatable.")] = None,
    not_ranked: Annotated[
        list[str] | None, Option(help="A metric that describes and ranks no model; repeatable.")
    ] = None,
    rename: Annotated[
        list[str] | None, Option(help="MODEL=NAME, such as controlMean=no_change or trainMean=train_mean; repeatable.")
    ] = None,
    source: Annotated[str, Option(help="real or simulated cells.")] = "real",
    figures: Annotated[bool, Option(help="Whether to draw figures.")] = True,
    out: Annotated[Path, Option(help="Folder of results.")] = Path("results"),
    name: FolderName = "",
) -> None:
    """Import tables of results of cell-eval or scPerturBench; write the tables, page and figures of a run.

    Exit status: 0 imported, 1 some model has no value on conditions that others have one for, 2 the tables cannot be used.
    """
    from benchmarks.execution.run_folders import new_folder
    from benchmarks.scoring.external.imported_tables import Import, ResultFile, find_importer, import_tables
    from benchmarks.scoring.external.score_files import write
    from reports import read_leaderboard
    from reports.pages.console import print_summary

    importer = find_importer(form)
    asked = Import(
        importer,
        tuple(ResultFile(path, *_labels(text)) for path, text in map(_split, files)),
        source=choice("--source", source, ("real", "simulated")),
        higher=tuple(higher_is_better or ()),
        lower=tuple(lower_is_better or ()),
        not_ranked=tuple(not_ranked or ()),
        rename=dict(_pair(text) for text in rename or ()),
    )
    found = import_tables(asked)
    with new_folder(out / importer.name, name) as folder:
        write(found, folder, figures=figures)
    print_summary(read_leaderboard(folder / "leaderboard.csv"), console)
    for note in found.notes:
        say(f"Note: {note}")
    say(f"Results: {folder}")
    if (found.scores["status"] == "failed").any():
        say(
            "Some models have no value on conditions that others have one for; a model with --rename MODEL=no_change stands in there."
        )
        raise Exit(EXIT_FAILED)


def _split(given: str) -> tuple[Path, str]:
    """Take FILE, MODEL=FILE or MODEL/CONTEXT=FILE apart; a file whose name has a "=" is one where it exists."""
    if Path(given).is_file() or "=" not in given:
        return Path(given), ""
    label, _, path = given.partition("=")
    return Path(path), label


def _labels(text: str) -> tuple[str, str]:
    model, _, context = text.partition("/")
    return model, context


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise BenchmarkError(f"--rename {text}: expected MODEL=NAME, such as controlMean=no_change.")
    return old, new
