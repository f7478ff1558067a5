"""The tables of a results folder, and the reports that are made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

import reports
from benchmarks.data.store.atomic_files import write_csv, write_json


def write_results(
    folder: Path, tables: Mapping[str, pd.DataFrame], notes: Sequence[str], *, figures: bool = True
) -> None:
    """Write tables by name, `notes.json`, and what `reports.write_reports` makes of them; raises `StoreError`."""
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    write_json(folder / "notes.json", list(notes))
    reports.write_reports(folder, figures=figures)
