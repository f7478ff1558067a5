"""Compare two runs, and report what moved on the console, as JUnit XML and as GitHub annotations.

`benchmarks.regression.gate` defines what counts as a loss; docs/regression.md describes the workflow.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkError
from benchmarks.regression.gate import ROW, Move, gone_and_new, judge, keys, paired, status_changes
from benchmarks.regression.gate_tables import at_common_seeds, board_changes, check_comparable, is_board, unpaired

_UNPRINTABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {ord("%"): "%25", ord("\r"): "%0D", ord("\n"): "%0A"}
N_ANNOTATIONS = 10
"""GitHub shows ten annotations of a kind and step; the last one counts the rest."""
REMEDY = (
    "If this is meant, make the reference again (--write; in this project: make reference) and say why in CHANGELOG.md."
)


def compare(new: pd.DataFrame, reference: pd.DataFrame, floors: dict[str, float] | None = None) -> list[Move]:
    """List everything that moved between two tables of `read_table`, what fails the build first.

    `reference` may be a leaderboard. `floors` are the user's smallest changes worth a failed build, by metric, in its unit.
    Raises `BenchmarkError` for tables that cannot be compared: other data, space, split, protocol, conditions, budget, audit or
    direction.
    """
    if is_board(new):
        raise BenchmarkError(
            "The new table is a leaderboard, without conditions and directions; expected a run's folder."
        )
    check_comparable(new, reference)
    references = frozenset(keys(new[new["kind"] == "reference"], ROW))
    if is_board(reference):
        new, _ = at_common_seeds(new, new)
        found = [*board_changes(new, reference), *judge(unpaired(new, reference, floors or {}), references)]
    else:
        new, reference = at_common_seeds(new, reference)
        found = [*status_changes(new, reference), *judge(paired(new, reference, floors or {}), references)]
    moves = [*gone_and_new(new, reference), *found]
    failing = {(m.task, m.model) for m in moves if m.verdict in ("failed", "no value")}
    moves = [m for m in moves if m.verdict != "gain" or (m.task, m.model) not in failing]
    return sorted(moves, key=lambda m: (not m.bad, m.task, m.model, m.verdict, m.metric))


def describe(move: Move) -> str:
    """Describe a move in one line, without its task and model."""
    what = f"{move.verdict} {move.metric}".strip()
    if np.isnan(move.old):
        return f"{what}: {move.detail}"
    p = "" if np.isnan(move.p) else f", adjusted p = {move.p:.2g}"
    return (
        f"{what}: {move.old:.4g} -> {move.new:.4g} (change {move.new - move.old:+.3g}, floor {move.floor:.2g}{p}; "
        f"{move.detail})"
    )


def print_moves(moves: Sequence[Move], console: Console) -> None:
    """Print the table of what moved; nothing if nothing did."""
    if not moves:
        return
    table = Table("verdict", "protocol/direction", "model", "metric", "reference", "new", "change", "floor", "p", "")
    for m in moves:
        numbers = (m.old, m.new, m.new - m.old, m.floor, m.p)
        shown = ["" if np.isnan(v) else f"{v:.3g}" for v in numbers]
        table.add_row(m.verdict, "/".join(m.task[3:]), m.model, m.metric, *shown, m.detail)
    console.print(table, markup=False)


def junit(moves: Sequence[Move], cases: Sequence[tuple[str, ...]], trouble: str = "") -> bytes:
    """Return JUnit XML: one test case per task × model, failed if it got worse.

    `cases` are task and model (`gate.MODEL`) of every row of both tables. `trouble`, why nothing was compared, becomes one case
    with an error. What XML 1.0 cannot hold, such as the escape characters of a coloured traceback, becomes "?".
    """
    suite = ET.Element("testsuite", name="benchmarks.regress")
    named = sorted({*cases, *((*m.task, m.model) for m in moves)})
    for case in named:
        element = ET.SubElement(suite, "testcase", classname=".".join(case[:-1]), name=case[-1] or "(all models)")
        mine = [m for m in moves if (*m.task, m.model) == case]
        bad = [m for m in mine if m.bad]
        if mine:
            kind, message = ("failure", {"message": f"{len(bad)} worse"}) if bad else ("system-out", {})
            text = "\n".join(map(describe, bad or mine))
            ET.SubElement(element, kind, message).text = _UNPRINTABLE.sub("?", text)
    if trouble:
        element = ET.SubElement(suite, "testcase", classname="benchmarks.regress", name="comparison")
        ET.SubElement(element, "error", message=_UNPRINTABLE.sub("?", trouble))
    failures, errors = len(suite.findall("testcase/failure")), int(bool(trouble))
    counts = {"tests": len(named) + errors, "failures": failures, "errors": errors, "skipped": 0}
    root = ET.Element("testsuites", {name: str(value) for name, value in counts.items()})
    suite.attrib.update(root.attrib)
    root.append(suite)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def annotation(level: str, title: str, text: str) -> str:
    """Return one workflow command of GitHub Actions; `level` is "error" or "notice"."""
    message = text.translate(_ESCAPES)
    name = title.translate(_ESCAPES | {ord(":"): "%3A", ord(","): "%2C"})
    return f"::{level} title={name}::{message}"


def github_lines(moves: Sequence[Move]) -> list[str]:
    """Return an error per task × model that got worse, and a notice per other one that changed."""
    lines = []
    for level, bad in (("error", True), ("notice", False)):
        groups: dict[str, list[str]] = {}
        for m in (m for m in moves if m.bad == bad):
            groups.setdefault(f"{'/'.join(m.task)}: {m.model or 'all models'}", []).append(describe(m))
        found = [annotation(level, title, "\n".join(texts)) for title, texts in groups.items()]
        rest = len(found) - N_ANNOTATIONS + 1
        if rest > 1:
            found[N_ANNOTATIONS - 1 :] = [annotation(level, "More", f"{rest} more models; see the log.")]
        lines += found
    return lines
