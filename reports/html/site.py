"""A site of several runs and suites: `index.html`, and one page a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reports.formatting import file_name, interval, number, save_text
from reports.html.board import REFERENCE, looks_of
from reports.html.libraries import data_tables, data_tables_style
from reports.html.report_page import TaskPage, page_badges, render, task_pages, write_report
from reports.stats.run_statistics import analyse
from reports.tables import ReportError, load

INDEX = "index.html"


@dataclass(frozen=True)
class TaskOfRun:
    """What the first page says of a task."""

    suite: str
    direction: str
    label: str
    lead: str
    simulated: bool
    page: str
    sentences: tuple[str, ...]
    certain: bool
    badges: tuple[tuple[str, str], ...]
    leaders: pd.DataFrame
    """Rows of its leading metric."""
    places: int


@dataclass(frozen=True)
class RunOfSite:
    """One run and its page."""

    name: str
    page: str
    tasks: tuple[TaskOfRun, ...]


@dataclass(frozen=True)
class Cell:
    """A model's mean in a task."""

    order: float | None = None
    text: str = ""
    interval: str = ""
    rank: int | None = None
    quick: bool = False


@dataclass(frozen=True)
class Line:
    """A model over all tasks."""

    model: str
    reference: bool
    colours: tuple[str, str]
    cells: tuple[Cell, ...]


def write_site(
    results: Sequence[Path], out: Path, *, title: str = "cycseq-bench", n_boot: int = 2000, seed: int = 0
) -> list[Path]:
    """Write `index.html` over several runs, and a page for each of them, to the folder `out`.

    Parameters
    ----------
    results
        Folders of runs or of `score`, or folders that hold some.
    n_boot, seed
        Draws and seed of the bootstrap.

    Returns
    -------
    list
        The files written, `index.html` first.

    Raises
    ------
    ReportError
        A folder that holds no results, or tables that cannot be reported.
    """
    out.mkdir(parents=True, exist_ok=True)
    runs: list[RunOfSite] = []
    for folder in find_runs(results):
        pages = task_pages(analyse(load(folder), n_boot=n_boot, seed=seed), n_boot=n_boot, seed=seed)
        page = _free_name(f"{pages[0].task.suite}-{folder.resolve().name}", [run.page for run in runs])
        write_report(pages, folder, out / page, home=INDEX)
        runs.append(RunOfSite(folder.resolve().name, page, tuple(_task(own, page) for own in pages)))
    columns = [task for run in runs for task in run.tasks]
    context = {
        "title": title,
        "runs": runs,
        "columns": columns,
        "lines": list(_lines(columns)),
        "libraries": {"tables": data_tables()},
        "table_style": data_tables_style(),
    }
    index = save_text(render("index.html.j2", context), out / INDEX)
    return [index, *(out / run.page for run in runs)]


def find_runs(results: Sequence[Path]) -> list[Path]:
    """Find the folders with a table of scores in some folders, at any depth; raises `ReportError` where one has none."""
    found: dict[Path, Path] = {}
    for folder in results:
        own = [folder] if (folder / "scores.csv").is_file() else sorted(p.parent for p in folder.rglob("scores.csv"))
        if not own:
            raise ReportError(f"{folder} holds no scores.csv; give the folder of a run, or one that holds runs.")
        found |= {run.resolve(): run for run in own}
    return list(found.values())


def _task(page: TaskPage, file: str) -> TaskOfRun:
    data, task = page.data, page.task
    return TaskOfRun(
        task.suite,
        task.direction,
        page.label,
        data.lead,
        task.source == "simulated",
        file,
        page.verdict.sentences,
        page.verdict.certain,
        tuple(page_badges([page])),
        data.leaders,
        data.places[data.lead],
    )


def _lines(columns: Sequence[TaskOfRun]) -> Iterator[Line]:
    """Yield models in the order of their mean rank, then references."""
    tables = [task.leaders.set_index("model") for task in columns]
    kinds = pd.concat([table["kind"].astype(str) for table in tables])
    kinds = kinds[~kinds.index.duplicated()]
    shares = pd.concat([(table["rank"] / table["rank"].max()).rename(n) for n, table in enumerate(tables)], axis=1)
    order = shares.mean(axis=1).fillna(2.0)
    looks = looks_of(kinds.rename("kind").rename_axis("model").reset_index())
    for model in sorted(kinds.index, key=lambda name: (kinds[name] == "reference", order[name], name)):
        cells = tuple(_cell(table, model, task.places) for table, task in zip(tables, columns, strict=True))
        yield Line(model, kinds[model] == "reference", looks.get(model, REFERENCE)[:2], cells)


def _cell(table: pd.DataFrame, model: str, places: int) -> Cell:
    if model not in table.index:
        return Cell()
    row = table.loc[model]
    if pd.isna(row["mean"]):
        return Cell(text=str(row["status"]))
    rank = int(row["rank"]) if row["rank"] > 0 else None
    between = interval(row["low"], row["high"], places).strip()
    quick = row["budget"] == "quick" and row["kind"] == "model"
    return Cell(float(row["mean"]), number(row["mean"], places), between, rank, quick)


def _free_name(text: str, taken: Sequence[str]) -> str:
    """Return the name of a page that no other run has."""
    stem = file_name(text)
    names = (f"{stem}{end}.html" for end in ("", *(f"-{number}" for number in range(2, len(taken) + 3))))
    return next(name for name in names if name not in taken)
