"""Text tables as studies publish them, gzipped or plain; what is truncated or badly formed is refused by name."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
import pandas as pd

from benchmarks.errors import DataError

ROWS_PER_CHUNK = 1 << 19
"""Lines of a long table held at once."""
GZIP_MAGIC = b"\x1f\x8b"
UNREADABLE = (
    *(EOFError, zlib.error, gzip.BadGzipFile, csv.Error),
    *(IsADirectoryError, ValueError, LookupError, OverflowError),
)
"""What reading a damaged text, or another kind of file, may raise."""
BLANKS = r"\s+"
"""Separator: any number of blanks."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a `DataError` that names it and says what to do."""
    try:
        yield
    except UNREADABLE as error:
        raise DataError(
            f"{path} is not the text or table that was expected ({type(error).__name__}: {error}). It is truncated, damaged "
            "or another file: delete it and get it again."
        ) from error


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a text file for its bytes, gzipped or plain by its content, whatever its name says; raises as `readable`."""
    with readable(path):
        with path.open("rb") as handle:
            zipped = handle.read(2) == GZIP_MAGIC
        if not zipped and path.suffix == ".gz":
            raise gzip.BadGzipFile("it lacks gzip's first two bytes")
        with gzip.open(path, "rb") if zipped else path.open("rb") as lines:
            yield cast(IO[bytes], lines)


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file as `open_bytes` does, for its text."""
    with open_bytes(path) as handle, io.TextIOWrapper(handle, encoding="utf-8") as lines:
        yield lines


def read_table(
    path: Path, needed: Sequence[str] = (), *, sep: str = "\t", header: bool = True, numbers: Sequence[str] = ()
) -> pd.DataFrame:
    """Read a table that has one row per cell, gene or guide.

    Parameters
    ----------
    path
        The file, gzipped or plain; empty fields and "NA" are missing.
    needed
        Columns that must be there and are kept; all are kept where none is named.
    sep
        Separator; `BLANKS` for any number of blanks.
    header
        Whether the first line names the columns; otherwise they are called "0", "1", …
    numbers
        Columns of numbers; all others are text, each text held once.

    Raises
    ------
    DataError
        A column is missing or two have one name; the file is truncated; it has no rows; a number is none.
    """
    columns = _name_columns(path, sep, header)
    used = list(needed) or [c for c in columns if c]
    check_columns([c for c in columns if c], needed, path)
    with open_text(path) as lines:
        table = pd.read_csv(
            lines,
            sep=sep,
            header=None,
            names=columns,
            usecols=used,
            index_col=False,
            skiprows=int(header),
            dtype={c: np.float64 if c in numbers else "category" for c in used},
        )
    if table.empty:
        raise DataError(f"{path} has no rows. It is cut off or another file; get it again.")
    return table[used].astype({c: object for c in used if c not in numbers})


def _name_columns(path: Path, sep: str, header: bool) -> list[str]:
    """Name a table's columns; pandas would rename the second of two columns of one name without a word.

    R writes the names of rows without a heading: that column is called "".
    """
    sep = " " if sep == BLANKS else sep
    with open_text(path) as lines:
        head = [lines.readline(), lines.readline()]
        if not head[0].strip():
            raise DataError(f"{path} is empty. Delete it and get it again.")
        first, second = (
            [field.strip() for field in next(csv.reader([line], delimiter=sep, skipinitialspace=True), [])]
            for line in head
        )
    if not header:
        return [str(i) for i in range(len(first))]
    return ["", *first] if len(second) == len(first) + 1 else first


def check_columns(columns: Sequence[str], needed: Sequence[str], source: object) -> None:
    """Refuse a table with two columns of one name, or without a column that is needed; raises `DataError`."""
    twice = [name for name, n in Counter(columns).items() if n > 1]
    if twice:
        raise DataError(
            f"{source}: {len(twice)} column names occur more than once, such as '{twice[0]}'. Rename or remove one of them."
        )
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(
            f"{source} lacks the column(s) {', '.join(missing)}; it has {', '.join(map(str, columns)) or 'none'}. Is this the "
            "upstream file? In a file of your own, name the columns: --perturbation-key, --context-key and so on."
        )


def table_chunks(lines: IO[str], sep: str, dtypes: Mapping[str, type]) -> Iterator[pd.DataFrame]:
    """Read the first columns of a long table without a header, in order and of these types, `ROWS_PER_CHUNK` lines at once."""
    yield from pd.read_csv(
        lines,
        sep=sep,
        header=None,
        names=list(dtypes),
        usecols=range(len(dtypes)),
        index_col=False,
        dtype=dict(dtypes),
        chunksize=ROWS_PER_CHUNK,
    )
