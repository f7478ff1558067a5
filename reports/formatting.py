"""Numbers and tables as text, the same in Markdown and on the console."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

LONGEST = 160
"""Bytes of a file's name without what is put before and behind it; most disks take 255 in all."""


def decimals(values: pd.Series | np.ndarray) -> int:
    """Choose decimals that show three significant digits of a typical value of one metric: 2 to 5."""
    sizes = np.abs(np.asarray(values, dtype=float))
    sizes = sizes[sizes > 1e-12]
    return int(np.clip(2 - np.floor(np.log10(np.median(sizes))), 2, 5)) if len(sizes) else 3


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
    """Escape what Markdown or HTML would take for markup in a text that comes from a file.

    Letters, digits, and "_" between them stay as they are. Characters that cannot be seen, line breaks among them, are shown.
    """
    escaped = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", escaped)


def visible(text: str) -> str:
    """Show the characters of a text that cannot be seen, such as line breaks, or that would steer a terminal."""
    return "".join(letter if letter.isprintable() else _symbol(letter) for letter in text)


def _symbol(letter: str) -> str:
    """Return a symbol for a control character, a space for any space, and the number of any other character."""
    if letter < " ":
        return chr(0x2400 + ord(letter))
    return " " if letter.isspace() else f"{{U+{ord(letter):04X}}}"


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts, which come from a file, are escaped by `plain_text` for a page."""
    return change_texts(table, plain_text)


def change_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a table whose texts are changed by a function; values that are no text stay."""
    texts = {name: table[name] for name in table if not pd.api.types.is_numeric_dtype(table[name])}
    return table.assign(**{str(name): _change_column(column, change) for name, column in texts.items()})


def _change_column(column: pd.Series, change: Callable[[str], str]) -> pd.Series:
    known = {value: change(value) for value in column.unique() if isinstance(value, str)}
    if all(old == new for old, new in known.items()):
        return column
    changed = column.astype(object).map(lambda value: known.get(value, value))
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return changed
    order = dict.fromkeys(known.get(value, value) for value in column.cat.categories)
    return changed.astype(pd.CategoricalDtype(list(order)))


def file_name(text: str) -> str:
    """Replace what is no letter, digit, "-", "_" or "." by "_"; a text too long for a name ends in its hash."""
    name = re.sub(r"[^\w.-]", "_", text)
    if len(name.encode()) <= LONGEST:
        return name
    return f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{sha256(text.encode()).hexdigest()[:8]}"


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
        "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\|", " ".join(cell.split())) for cell in line) + " |" for line in lines
    )


def bullets(lines: Iterable[str]) -> str:
    """Write a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def picture(path: Path, folder: Path) -> str:
    """Write a link to a picture, relative to the folder of the page."""
    return f"!{link(path.stem, path.relative_to(folder))}"


def link(text: str, path: Path) -> str:
    """Write a link to a file, by its path relative to the page."""
    return f"[{plain_text(text)}]({quote(path.as_posix())})"


def save_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a CSV table with six significant digits; returns the path."""
    return save_text(table.to_csv(index=False, float_format="%.6g"), path)


def save_page(blocks: Iterable[str], path: Path) -> Path:
    """Write a Markdown page of blocks, empty ones left out; returns the path."""
    return save_text("\n\n".join(filter(None, blocks)) + "\n", path)


def save_text(text: str, path: Path) -> Path:
    """Write a text that appears under its name only once it is complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
