"""Measurements beside what they should be: one table of medians, ranges and targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import pandas as pd


@dataclass(frozen=True)
class Row:
    """Repeated measurements of one quantity, and its target."""

    what: str
    unit: str
    """"s", "CPU s", "%", or "×" for a ratio."""
    values: Sequence[float]
    """One a repeat, in the unit; empty where it could not be measured."""
    at_most: float = float("inf")
    at_least: float = float("-inf")
    why_none: str = ""
    """Why there are no values."""

    @property
    def target(self) -> str:
        """The limit, as it is shown; "" where there is none."""
        if self.at_most < float("inf"):
            return f"≤ {self.at_most:.3g}"
        return f"≥ {self.at_least:.3g}" if self.at_least > float("-inf") else ""

    @property
    def reached(self) -> str:
        """Whether the median keeps the limit: "yes", "no", or "" where there is no limit or no value."""
        if not self.target or not self.values:
            return ""
        return "yes" if self.at_least <= median(self.values) <= self.at_most else "no"


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """Lay measurements out: what, unit, target, median, least, most, repeats, reached."""
    return pd.DataFrame(
        [
            {
                "what": row.what,
                "unit": row.unit,
                "target": row.target,
                "median": f"{median(row.values):.3g}" if row.values else "–",
                "range": f"{min(row.values):.3g} to {max(row.values):.3g}" if row.values else row.why_none,
                "repeats": len(row.values),
                "reached": row.reached,
            }
            for row in rows
        ]
    )
