"""Numbers and tables as text, the same in Markdown and on the console."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def decimals(values: pd.Series) -> int:
    """Choose decimals that show three significant digits of a typical value of one metric: 2 to 5."""
    sizes = values.abs()[lambda size: size > 1e-12].dropna()
    if sizes.empty:
        return 3
    return int(np.clip(2 - np.floor(np.log10(sizes.median())), 2, 5))


def number(value: float, places: int) -> str:
    """Write a number with a true minus sign, and no minus before zero."""
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def with_interval(row: pd.Series, places: int) -> str:
    """Write "mean [low, high]", or the status where a row of the leaderboard has no mean."""
    if pd.isna(row["mean"]):
        return str(row["status"])
    return number(row["mean"], places) + interval(row["low"], row["high"], places)


def interval(low: float, high: float, places: int) -> str:
    """Write " [low, high]", or nothing where one condition alone has no interval."""
    return "" if pd.isna(low) else f" [{number(low, places)}, {number(high, places)}]"


def seconds(value: float) -> str:
    """Write a time in seconds with a unit a person reads at a glance."""
    if pd.isna(value):
        return "–"
    if value < 1:
        return "< 1 s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def shorten(text: str, width: int) -> str:
    """Cut a text at `width` characters, with an ellipsis where something is cut."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 2) -> str:
    """Lay out a GitHub-flavoured Markdown table; the first `left` columns are aligned left, the others right."""
    lines = [header, [":--" if number < left else "--:" for number in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)


def _escape(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
