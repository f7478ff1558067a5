"""report.html and the site in the machine's Chromium, headless; skipped where there is none."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports import write_reports
from reports.html.site import write_site
from tests.unit.reports.html.results import NAMES, write_hostile, write_large, write_results
from tests.unit.reports.result_tables import write_run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
CHARTS = ("ranking", "contexts", "conditions", "effect", "cost", "calibration", "copying", "genes", "cells")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = write_results(tmp_path_factory.mktemp("browser") / "run")
    write_reports(folder, n_boot=50, figures=False)
    return folder


@pytest.fixture
def open_page(browser) -> Iterator[Any]:
    """Return a function that opens a file; at the end there is no warning on the console and no request but the file's."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    troubles: list[str] = []

    def open_file(path: Path, *, ready: str = "ready") -> Any:
        page = context.new_page()
        page.on(
            "console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: troubles.append(str(error)))
        own = path.as_uri()
        page.on(
            "request",
            lambda request: None if request.url.startswith((own, "blob:", "data:")) else troubles.append(request.url),
        )
        page.goto(own)
        page.wait_for_function(f"document.documentElement.dataset.{ready} === '1'", timeout=60_000)
        return page

    yield open_file
    context.close()
    assert troubles == []


def drawn(page: Any, name: str) -> Any:
    """Scroll to a chart and wait until it is drawn."""
    figure = page.locator(f'[data-chart="{name}"]')
    figure.scroll_into_view_if_needed()
    page.wait_for_selector(f'[data-chart="{name}"]:not([data-due="1"]) .holder :is(svg, canvas)', timeout=60_000)
    return figure


def contrast(first: str, second: str) -> float:
    """Contrast of two colours as WCAG defines it, 1 to 21; each is "#rrggbb" or "rgb(r, g, b)"."""
    shares = []
    for colour in (first, second):
        if colour.startswith("#"):
            parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        else:
            parts = [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        linear = [p / 3294.6 if p <= 10 else ((p / 255 + 0.055) / 1.055) ** 2.4 for p in parts]
        shares.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(shares) + 0.05) / (min(shares) + 0.05)


def models_of(page: Any, board: str = "#board-0") -> list[str]:
    return page.locator(f"{board} tbody th").evaluate_all(
        "cells => cells.map(cell => cell.childNodes[1].textContent.trim())"
    )


def test_every_chart_is_drawn(open_page, folder):
    page = open_page(folder / "report.html")
    for name in CHARTS:
        drawn(page, name)
    assert page.locator('[data-chart="ranking"] svg.marks').text_content().count("cycseq_n2p") == 1


def test_board_sorts_filters_and_shows_chosen_metrics(open_page, folder):
    page = open_page(folder / "report.html")
    before = models_of(page)
    head = page.locator('#board-0 thead th[data-name="mse"]')
    head.click()
    values = page.locator("#board-0 tbody tr").evaluate_all(
        "(rows, place) => rows.map(row => Number(row.cells[place].dataset.order))",
        head.evaluate("cell => cell.cellIndex"),
    )
    assert values == sorted(values)
    assert models_of(page) != before
    page.locator(".task:not([hidden]) .dt-search input").fill("scgen")
    assert models_of(page) == ["scgen"]
    page.locator(".task:not([hidden]) .dt-search input").fill("quick")
    assert set(models_of(page)) == {"scgen", "gears"}
    page.locator(".task:not([hidden]) .dt-search input").fill("")
    assert page.locator('#board-0 thead th[data-name="sim_it"]').count() == 0
    page.locator(".task:not([hidden]) .family").select_option("*")
    assert page.locator('#board-0 thead th[data-name="sim_it"]').is_visible()
    page.locator(".task:not([hidden]) .references").uncheck()
    assert not page.locator("#board-0 tbody tr.reference").first.is_visible()


def test_keyboard_sorts_the_board(open_page, folder):
    page = open_page(folder / "report.html")
    head = page.locator('#board-0 thead th[data-name="mse"]')
    head.locator("[role=button]").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector('#board-0 thead th[data-name="mse"][aria-sort="ascending"]')


def test_task_and_metric_change_what_is_shown(open_page, folder):
    page = open_page(folder / "report.html")
    drawn(page, "ranking")
    page.locator("#metric").select_option(label="mse ↓")
    page.wait_for_function("document.querySelector('[data-chart=ranking] svg').textContent.includes('mse')")
    page.locator("#task").select_option("1")
    page.wait_for_selector("#board-1 tbody tr", state="visible")
    assert not page.locator("#board-0").is_visible()
    assert "train_control" in models_of(page, "#board-1")
    page.wait_for_function("document.querySelector('[data-chart=ranking] svg')?.textContent.includes('train_control')")


def test_drill_down_shows_one_condition_and_saves_its_genes(open_page, folder, tmp_path):
    page = open_page(folder / "report.html")
    drawn(page, "genes")
    page.locator("#condition").select_option(label="GENE03")
    page.locator("#model").select_option(label="linear")
    page.wait_for_function("document.querySelector('[data-chart=genes] svg')?.textContent.includes('GENE03')")
    assert page.locator("#genes tbody tr").count() == 10
    with page.expect_download() as download:
        page.locator("#download-genes").click()
    saved = tmp_path / "genes.csv"
    download.value.save_as(saved)
    rows = list(csv.reader(saved.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["gene", "true_change", "predicted_change"]
    assert len(rows) == 41
    with page.expect_download() as download:
        page.locator("#download-scores").click()
    download.value.save_as(saved)
    assert len(list(csv.reader(saved.read_text(encoding="utf-8").splitlines()))) == 61


def test_charts_follow_the_width_of_the_window(open_page, folder):
    page = open_page(folder / "report.html")
    drawn(page, "ranking")
    wide = page.locator('[data-chart="ranking"] svg.marks').bounding_box()["width"]
    page.set_viewport_size({"width": 600, "height": 800})
    page.wait_for_function(f"document.querySelector('[data-chart=ranking] svg')?.clientWidth < {wide - 100}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 600


def test_names_of_many_models_do_not_overlap(open_page, tmp_path):
    write_reports(write_large(tmp_path / "run", n_conditions=20, n_metrics=3), n_boot=20, figures=False)
    page = open_page(tmp_path / "run" / "report.html")
    figure = drawn(page, "cost")
    boxes = figure.locator("svg .mark-text.role-mark text").evaluate_all(
        "texts => texts.filter(text => text.textContent).map(text => text.getBoundingClientRect().toJSON())"
    )
    assert len(boxes) > 5
    for n, box in enumerate(boxes):
        for other in boxes[:n]:
            apart = box["left"] >= other["right"] or other["left"] >= box["right"]
            assert apart or abs(box["y"] - other["y"]) > 8


def test_every_control_has_a_name_and_is_reached_by_tab(open_page, folder):
    page = open_page(folder / "report.html")
    for name in CHARTS:
        drawn(page, name)
    page.evaluate("document.activeElement.blur()")
    seen = "button, select, input, summary, a[href]"
    wanted = page.evaluate(
        f"[...document.querySelectorAll('{seen}')].filter(e => e.checkVisibility() && !e.disabled && e.tabIndex >= 0)"
        ".map((e, n) => (e.dataset.stop = n, [n, e.labels?.length || e.ariaLabel || e.textContent.trim() || e.title]))"
    )
    assert len(wanted) > 40
    assert [n for n, name in wanted if not name] == []
    reached, rings = set(), set()
    for _ in range(3 * len(wanted)):
        page.keyboard.press("Tab")
        stop, ring = page.evaluate(
            "[document.activeElement.dataset?.stop, getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached.add(stop)
        rings |= {ring} if stop else set()
    assert {str(n) for n, _ in wanted} <= reached
    assert "none" not in rings


def test_page_without_cells_or_changes_says_what_is_missing(open_page, tmp_path):
    write_reports(write_run(tmp_path), n_boot=10, figures=False)
    page = open_page(tmp_path / "report.html")
    note = page.locator('[data-chart="genes"] .note')
    note.filter(has_text="changes.csv").wait_for()
    assert "--keep-predictions" in page.locator("#cells-note").inner_text()
    assert not page.locator("#condition").is_visible()


def test_hostile_names_run_no_code(open_page, tmp_path):
    folder = write_hostile(tmp_path / "run")
    write_reports(folder, n_boot=10, figures=False)
    page = open_page(folder / "report.html")
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for name in CHARTS:
        drawn(page, name)
    assert NAMES[0] in models_of(page)
    page.locator("#model").select_option(label=NAMES[0])
    assert dialogs == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_in_the_heat_map_can_be_read(browser, folder, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((folder / "report.html").as_uri())
    figure = drawn(page, "contexts")
    marks = {
        kind: figure.locator(f"svg .mark-{kind}.role-mark {tag}").evaluate_all(
            "all => all.map(e => [e.getAttribute('fill')])"
        )
        for kind, tag in (("text", "text"), ("rect", "path"))
    }
    assert len(marks["text"]) == len(marks["rect"]) > 20
    for (text,), (cell,) in zip(marks["text"], marks["rect"], strict=True):
        assert contrast(text, cell) > 4
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_page_does_not_scroll_sideways(browser, folder, scheme):
    context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto((folder / "report.html").as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === '1'")
    for name in CHARTS:
        drawn(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    behind = page.locator(".dt-container").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    assert behind
    assert set(behind) == {"rgba(0, 0, 0, 0)"}
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    context.close()


def test_site_links_every_run(open_page, folder, tmp_path):
    other = write_run(tmp_path / "other")
    write_site([folder, other], tmp_path / "site", n_boot=20)
    page = open_page(tmp_path / "site" / "index.html")
    assert page.locator("#board tbody tr").count() == 4
    targets = page.locator("#board tbody a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(set(targets)) == 2
    assert all((tmp_path / "site" / target).is_file() for target in targets)
    open_page(tmp_path / "site" / targets[0])
