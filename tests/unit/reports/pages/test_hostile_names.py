"""Text of tables that come from elsewhere is shown in every page as it is, and is never markup, code or a formula."""

from __future__ import annotations

import io
import json
import re
import warnings
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from reports import read_leaderboard, write_reports
from reports.formatting import link, markdown_table, plain_text
from reports.pages.console import print_index, print_summary
from reports.pages.index_page import Entry, write_index
from tests.unit.reports.result_tables import write_run

HOSTILE = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![i](https://evil.example/p.png)",
    "a|b|c",
    "line\n\n# break\r\n---",
    "`code`",
    "**bold** _it_ ~~gone~~",
    "$\\frac{$ $x^2$",
    "[/red] [bold]",
    "<https://evil.example> &lt;b&gt;",
    "\\",
    "\u202egnp.exe\x1b[31m",
)
EVERYTHING = " ".join(HOSTILE)
TEXT = (
    "suite",
    "dataset",
    "context",
    "perturbation",
    "reason",
    "audit",
    "budget",
    "summary",
    "limits",
    "licence",
    "source",
)
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def spoil(folder: Path) -> None:
    """Add hostile text to every text of the tables, and to the names of two models."""
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path, keep_default_na=False)
        columns = [
            name for name in TEXT if name in table and not (name == "source" and table[name].iloc[0] == "simulated")
        ]
        for name in columns:
            words = table[name].astype(str)
            table[name] = words.where(words == "", words + EVERYTHING)
        if "model" in table:
            table["model"] = table["model"].replace({"gears": EVERYTHING, "scgen": HOSTILE[1]})
        table.to_csv(path, index=False)
    (folder / "notes.json").write_text(json.dumps(list(HOSTILE)))


def check(page: Path) -> None:
    """Parse a page as a browser's renderer does, and look at what is neither text nor our own markup."""
    text = page.read_text(encoding="utf-8")
    tokens = [t for token in PARSER.parse(text) for t in (token, *(token.children or ()))]
    assert not [t.content for t in tokens if t.type in ("html_block", "html_inline")]
    targets = [str(t.attrs.get("href") or t.attrs.get("src")) for t in tokens if t.type in ("link_open", "image")]
    assert all(re.match(r"(figures|runs)/|\S*leaderboard\.md$", target) for target in targets), targets
    assert not [t for t in tokens if t.type in ("s_open", "hr")]
    headings = [after.content for t, after in pairwise(tokens) if t.type == "heading_open"]
    assert not [heading for heading in headings if heading.startswith("break")]
    assert "\x1b" not in text
    assert "\u202e" not in text
    rows = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| metric |")]
    assert rows, "the page has tables"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("hostile") / "runs")
    spoil(folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "constrained_layout")  # such names leave no room for the axes
        write_reports(folder, n_boot=5)
    return folder


def test_the_leaderboard_shows_hostile_text_as_text(board):
    check(board / "leaderboard.md")
    rendered = PARSER.render((board / "leaderboard.md").read_text(encoding="utf-8"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in rendered, "the name can be read"
    assert "[x](javascript:alert(1))" in rendered
    assert "a|b|c" in rendered


def test_tables_keep_names_as_they_are(board):
    assert {EVERYTHING.replace("\r\n", "\n"), HOSTILE[1]} <= {
        name.replace("\r\n", "\n") for name in read_leaderboard(board / "leaderboard.csv")["model"]
    }


def test_figures_hold_no_active_content(board):
    drawings = list((board / "figures").glob("*.svg"))
    assert drawings
    for path in drawings:
        elements = list(ET.parse(path).getroot().iter())
        assert not [e.tag for e in elements if e.tag.endswith(("}script", "}foreignObject", "}a"))]
        targets = [value for e in elements for name, value in e.attrib.items() if name.endswith("href")]
        assert targets
        assert all(target.startswith(("#", "data:image/png;")) for target in targets)
    assert all(re.fullmatch(r"[\w.-]+", path.name) for path in (board / "figures").iterdir())


def test_the_index_and_the_console_show_hostile_text_as_text(board):
    entries = [Entry(EVERYTHING, board, EVERYTHING, 1, 2.0), Entry(EVERYTHING, board, problem=EVERYTHING)]
    summary = write_index(entries, board.parent)
    text = (board.parent / "index.md").read_text(encoding="utf-8")
    tokens = [t for token in PARSER.parse(text) for t in (token, *(token.children or ()))]
    assert not [t for t in tokens if t.type in ("html_block", "html_inline", "image", "hr")]
    assert len([t for t in tokens if t.type == "link_open"]) == 1
    console = Console(file=io.StringIO(), width=200)
    print_index(summary, console)
    print_summary(read_leaderboard(board / "leaderboard.csv"), console)
    assert "\x1b[31m" not in console.file.getvalue()
    assert "[x](javascript:alert(1))" in console.file.getvalue()


@pytest.mark.parametrize("name", [*HOSTILE, EVERYTHING])
def test_a_cell_of_a_table_is_one_cell(name):
    tokens = PARSER.parse(markdown_table([{"a": plain_text(name), "b": "2"}]))
    cells = [after for t, after in pairwise(tokens) if t.type == "td_open"]
    assert len(cells) == 2
    assert {child.type for child in cells[0].children} <= {"text", "text_special"}


def test_usual_names_are_left_alone():
    for name in (
        "train_mean",
        "A+B",
        "HLA-DRB1",
        "Nutlin-3 (1000 nM)",
        "log2 x",
        "0.5",
        "p < 0.05".replace("<", "≤"),
        "é",
    ):
        assert plain_text(name) == name
    assert plain_text("HLA-DRB1*01 [a] _x_") == r"HLA-DRB1\*01 \[a\] \_x\_"


def test_a_link_leads_to_a_file_of_any_name():
    tokens = PARSER.parseInline(link("a](b) c", Path("figures/a) [b] <c>.png")))[0].children
    assert tokens[0].attrs["href"] == "figures/a%29%20%5Bb%5D%20%3Cc%3E.png"
    assert tokens[1].content == "a](b) c" or "".join(t.content for t in tokens) == "a](b) c"
