"""The tables of a results folder, and the reports that are made from them."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

import reports
from benchmarks.data.store.atomic_files import write_csv, write_json


def write_results(
    folder: Path, tables: MutableMapping[str, pd.DataFrame], notes: Sequence[str], *, figures: bool = True
) -> None:
    """Write tables by name, `notes.json`, and what `reports.write_reports` makes of them; raises `StoreError`.

    `tables` is empty afterwards: those of a large run are not in memory while its reports are made.
    """
    while tables:
        name, table = tables.popitem()
        write_csv(table, folder / f"{name}.csv")
    write_json(folder / "notes.json", list(notes))
    reports.write_reports(folder, figures=figures)


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """Make columns of text categories: a row of scores has a dozen words, and a large run has millions of rows."""
    return table.astype(dict.fromkeys(table.select_dtypes(object), "category"))


def join(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put compact tables of the same columns one below the other, which `pandas.concat` would turn into text again."""
    columns = {name: [table[name] for table in tables] for name in tables[0]}
    return pd.DataFrame(
        {
            name: union_categoricals(parts) if parts[0].dtype == "category" else np.concatenate(parts)
            for name, parts in columns.items()
        }
    )
