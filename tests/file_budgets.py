"""Seconds that the tests of each file take, beside what a file may take; pytest prints it at the end.

With several workers the seconds of a file are those of its tests, whichever workers ran them. A file over its budget does
not fail: a machine may be slow or busy.
"""

from __future__ import annotations

from collections import Counter

import pytest

BUDGET = 20.0
"""Seconds that the fast tests of one file may take on a quiet core."""
SHOWN = 10
"""Files that are listed at least; all that are over the budget are."""


class FileBudgets:
    """Sums the seconds of tests by file."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one phase of one test."""
        self.seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the slowest files."""
        if len(self.seconds) < 2:
            return
        whole, over = sum(self.seconds.values()), sum(s > BUDGET for s in self.seconds.values())
        terminalreporter.section(f"{whole:.0f} s in {len(self.seconds)} files, {over} over {BUDGET:g} s")
        for name, seconds in self.seconds.most_common(max(over, SHOWN)):
            terminalreporter.line(f"{seconds:7.1f} s {'over' if seconds > BUDGET else '    '} {name}")
