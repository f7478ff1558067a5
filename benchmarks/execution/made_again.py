"""How a file of results differs from the same file made again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

AGREE = 1e-6
"""Numbers that two machines compute may differ by so much, relative to their size: linear algebra rounds in different ways."""


def table_differs(given: Path, again: Path) -> str:
    """Say where a table is another than the one made again; "" where it is the same, up to rounding of another machine."""
    if not again.is_file():
        return ""
    if not given.is_file():
        return f"{given.name} is missing"
    if given.read_bytes() == again.read_bytes():
        return ""
    try:
        one, two = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (given, again))
    except ValueError as error:
        return f"it is no table ({error})"
    if list(one) != list(two) or len(one) != len(two):
        return f"it has {len(one)} rows and columns {', '.join(one)}; made again, {len(two)} and {', '.join(two)}"
    for name in two:
        apart = np.flatnonzero((one[name] != two[name]).to_numpy())
        numbers = [
            pd.to_numeric(table[name].iloc[apart], errors="coerce").to_numpy(dtype=float) for table in (one, two)
        ]
        apart = apart[~np.isclose(numbers[0], numbers[1], AGREE, AGREE)]
        for place in apart[:1]:
            line = ", ".join(two.iloc[place][[c for c in ("direction", "model", "context", "metric") if c in two]])
            return f"{name} of {line or f'row {place + 1}'} is {one[name].iloc[place]}; made again, {two[name].iloc[place]}"
    return ""


def page_differs(given: Path, again: Path) -> str:
    """Compare two pages without their pictures."""
    if not given.is_file():
        return f"{given.name} is missing"
    one, two = (
        re.sub(r"^!.*\n\n?", "", path.read_text(encoding="utf-8"), flags=re.M).rstrip() for path in (given, again)
    )
    if one == two:
        return ""
    lines = zip(one.splitlines(), two.splitlines(), strict=False)
    first = next(((a, b) for a, b in lines if a != b), (f"{len(one)} letters", f"{len(two)} letters"))
    return f"'{first[0][:80]}' is '{first[1][:80]}' when it is made again"
