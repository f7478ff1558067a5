"""The page `report.html` of a results folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from reports.formatting import save_text, seconds, shorten, visible
from reports.html.board import Board, looks_of, make_board
from reports.html.run_facts import RunFacts, read_facts
from reports.html.task_payload import task_payload
from reports.html.verdict import Verdict, judge
from reports.pages.missing_runs import find_missing
from reports.pages.page_sections import MARKS, TaskData
from reports.pages.sections.glossary import GLOSSARY
from reports.pages.sections.missing_values import missing_lines, uninformative_lines
from reports.pages.sections.model_abilities import LABELS
from reports.stats.run_statistics import RunStatistics
from reports.tables import ABILITIES
from reports.task_labels import ARROWS, Task, tasks

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class TaskPage:
    """One task in the page."""

    number: int
    data: TaskData
    board: Board
    verdict: Verdict

    @property
    def task(self) -> Task:
        """Its labels."""
        return self.data.task

    @property
    def label(self) -> str:
        """Direction, protocol and data set, for the list of tasks."""
        arrow = ARROWS.get(self.task.direction, self.task.direction)
        return f"{arrow} · {self.task.protocol} · {self.task.dataset}"

    @property
    def size(self) -> str:
        """Contexts and conditions."""
        in_contexts = (self.data.board["level"] == "context") & (self.data.board["metric"] == self.data.lead)
        contexts = self.data.board.loc[in_contexts, "context"].nunique()
        n = int(self.data.leaders["n_conditions"].max())
        return f"{n} condition{'s' * (n != 1)} in {contexts} context{'s' * (contexts != 1)}"


def write_report(pages: Sequence[TaskPage], folder: Path, page: Path, *, home: str = "") -> Path:
    """Write the page of a results folder, from what `task_pages` returned, to the path `page`; returns it.

    `home` is a link to the page of all runs, "" for none.
    """
    context = page_context(pages, read_facts(folder), visible(folder.resolve().name))
    return save_text(render("report.html.j2", context | {"home": home}), page)


def task_pages(run: RunStatistics, *, n_boot: int, seed: int) -> list[TaskPage]:
    """Judge every task of a run and lay out its board; `n_boot` and `seed` are those of the bootstrap."""
    run = run.with_texts(visible)
    found = []
    for number, (task, rows) in enumerate(tasks(run.leaderboard)):
        data = TaskData(run, task, rows)
        found.append(TaskPage(number, data, make_board(data), judge(data, n_boot=n_boot, seed=seed)))
    return found


def page_context(pages: Sequence[TaskPage], facts: RunFacts, name: str) -> dict[str, Any]:
    """Gather what the template needs."""
    run = pages[0].data.run
    from reports.html.charts import chart_specs
    from reports.html.libraries import data_tables, data_tables_style, vega

    payload = {
        "tasks": [task_payload(page.data, page.board, page.number) for page in pages],
        "looks": looks_of(run.leaderboard),
        "charts": chart_specs(),
    }
    suites = sorted({page.task.suite for page in pages})
    return {
        "title": f"{', '.join(suites)}: {name}" if name else ", ".join(suites),
        "suites": ", ".join(suites),
        "name": name,
        "badges": page_badges(pages),
        "asked": _asked(facts, pages),
        "facts": facts,
        "pages": pages,
        "incomplete": find_missing(run.tables.scores),
        "notes": [visible(note) for note in run.tables.notes],
        "settings": _settings(facts, run.tables.models),
        "missing": missing_lines(run),
        "uninformative": uninformative_lines(run),
        "metrics": run.tables.metrics.to_dict("records"),
        "models": run.tables.models.to_dict("records"),
        "abilities": ABILITIES,
        "ability_labels": LABELS,
        "glossary": GLOSSARY,
        "marks": MARKS,
        "payload": payload,
        "libraries": {"vega": vega(), "tables": data_tables()},
        "table_style": data_tables_style(),
    }


def page_badges(pages: Sequence[TaskPage]) -> list[tuple[str, str]]:
    """Return text and look of what must be said beside the title."""
    warnings = dict.fromkeys(warning for page in pages for warning in page.task.warnings)
    quick = any(badge.text == "quick" for page in pages for line in page.board.lines for badge in line.badges)
    looks = {"SIMULATED": "simulated", "INCOMPLETE": "bad", "LEAKY": "bad"}
    found = [(warning, looks.get(warning.split()[0], "warn")) for warning in warnings]
    return [*found, *([("some models trained short (quick)", "warn")] if quick else [])]


def _asked(facts: RunFacts, pages: Sequence[TaskPage]) -> list[tuple[str, str]]:
    """List what was asked, as title and text."""
    first = pages[0].task
    sources = sorted({page.task.source for page in pages})
    size = ", ".join(
        f"{facts.text('dataset', name)} {name}" for name in ("cells", "genes") if facts.text("dataset", name)
    )
    datasets = ", ".join(sorted({page.task.dataset for page in pages}))
    rows = [
        ("Suite", " — ".join(filter(None, (first.suite, facts.text("title"))))),
        ("Data", f"{datasets}, {' and '.join(sources)} cells" + (f" ({size})" if size else "")),
        ("Test", "; ".join(f"{page.label}: {page.size}" for page in pages)),
        ("Preset", facts.text("preset")),
        ("Seeds", " from ".join(filter(None, (facts.text("seeds"), _prefixed("base seed ", facts.text("base_seed")))))),
        ("Started", facts.text("started").replace("T", " ")),
        (
            "Version",
            ", git ".join(
                filter(None, (facts.text("version") or facts.text("versions", "cycseq-bench"), facts.text("git")[:12]))
            ),
        ),
    ]
    return [(title, text) for title, text in rows if text]


def _prefixed(prefix: str, text: str) -> str:
    return prefix + text if text else ""


def _settings(facts: RunFacts, models: pd.DataFrame) -> list[dict[str, str]]:
    """List the settings of every model that the manifest names."""
    return [
        {
            "model": name,
            "settings": ", ".join(f"{key} = {value}" for key, value in facts.table("models", name, "settings").items()),
            "budget": facts.text("models", name, "budget"),
            "environment": shorten(facts.text("models", name, "environment"), 200),
        }
        for name in facts.table("models")
    ]


@cache
def _templates() -> Any:
    import jinja2  # slow to import

    loader = jinja2.FileSystemLoader(TEMPLATES)
    found = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["seconds"] = seconds
    found.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":"), "allow_nan": False}
    return found


def render(template: str, context: dict[str, Any]) -> str:
    """Fill a template; every text is escaped."""
    files = {
        name: (TEMPLATES / name).read_text(encoding="utf-8")
        for name in ("style.css", "library.js", "report.js", "index.js")
    }
    return str(_templates().get_template(template).render(context, files=files))
