"""Numbers and tables as text, the same in Markdown and on the console."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd


def decimals(values: pd.Series) -> int:
    """Choose decimals that show three significant digits of a typical value of one metric: 2 to 5."""
    sizes = values.abs()[lambda size: size > 1e-12].dropna()
    return 3 if sizes.empty else int(np.clip(2 - np.floor(np.log10(sizes.median())), 2, 5))


def number(value: float | None, places: int) -> str:
    """Write a number with a true minus sign and no minus before zero, "–" where it is missing."""
    if value is None or pd.isna(value):
        return "–"
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def percent(value: float) -> str:
    """Write a share as a percentage, "–" where it is missing."""
    return "–" if pd.isna(value) else f"{100 * value:.0f} %"


def with_interval(mean: float, low: float, high: float, places: int) -> str:
    """Write "mean [low, high]"."""
    return number(mean, places) + interval(low, high, places)


def mean_or_status(row: pd.Series, places: int) -> str:
    """Write "mean [low, high]", or the status where a row of the leaderboard has no mean."""
    return str(row["status"]) if pd.isna(row["mean"]) else with_interval(row["mean"], row["low"], row["high"], places)


def interval(low: float, high: float, places: int) -> str:
    """Write " [low, high]", or nothing where there is no interval (a single condition)."""
    return "" if pd.isna(low) else f" [{number(low, places)}, {number(high, places)}]"


def seconds(value: float) -> str:
    """Write a time in seconds with a readable unit."""
    if pd.isna(value) or value < 1:
        return "–" if pd.isna(value) else "< 1 s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def plain_text(text: str) -> str:
    """Escape what Markdown or HTML would take for markup in a text that comes from a file."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def shorten(text: str, width: int) -> str:
    """Cut a text at `width` characters, with an ellipsis if it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def markdown_table(rows: Sequence[Mapping[str, str]], *, left: int = 2) -> str:
    """Lay out rows, each column → cell, as a GitHub-flavoured Markdown table; "" without rows.

    The first `left` columns are aligned left, the others right.
    """
    if not rows:
        return ""
    header = list(rows[0])
    rule = [":--" if place < left else "--:" for place in range(len(header))]
    lines = [header, rule, *(row.values() for row in rows)]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def bullets(lines: Iterable[str]) -> str:
    """Write a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def picture(path: Path, folder: Path) -> str:
    """Write a link to a picture, relative to the folder of the page."""
    return f"![{path.stem}]({path.relative_to(folder).as_posix()})"


def save_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a CSV table with six significant digits; returns the path."""
    return _save(table.to_csv(index=False, float_format="%.6g"), path)


def save_page(blocks: Iterable[str], path: Path) -> Path:
    """Write a Markdown page of blocks, empty ones left out; returns the path."""
    return _save("\n\n".join(filter(None, blocks)) + "\n", path)


def _save(text: str, path: Path) -> Path:
    """Write a text that appears under its name only once it is complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
