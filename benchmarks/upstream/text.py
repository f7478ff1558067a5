"""Text tables as studies publish them, gzipped or plain; what is truncated or badly formed is refused by name."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import pandas as pd

from benchmarks.errors import DataError

ROWS_PER_CHUNK = 1 << 20
"""Lines of a long table held at once."""
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Layout:
    """How a table is written."""

    sep: str = "\t"
    """Separator, or a regular expression for runs of blanks."""
    header: bool = True
    """Whether the first line names the columns."""
    names: tuple[str, ...] = ()
    """Columns of a table without a header."""
    comment: str | None = None
    """Lines that start with this are left out."""
    skip: int = 0
    """Lines before the table."""


@contextmanager
def told_apart(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a `DataError` that says what to do.

    Raises
    ------
    DataError
        The file ends early, is not what its name says, or its lines do not have the same fields.
    """
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{path} ends before its compressed content does ({error}): it is truncated or damaged. Delete it and get "
            "it again."
        ) from error
    except gzip.BadGzipFile as error:
        raise DataError(f"{path} is not a gzip file ({error}). Delete it and get it again, or gzip it.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 ({error}). Is this the upstream file?") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise DataError(
            f"{path} is not the table that was expected ({error}). It is damaged, cut off in the middle of a line, or "
            "another file; get it again."
        ) from error


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file, gzipped or plain by its content, whatever its name says; raises as `told_apart`."""
    with path.open("rb") as handle:
        zipped = handle.read(2) == GZIP_MAGIC
    with told_apart(path):
        if zipped:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                yield cast(IO[str], lines)
        elif path.suffix == ".gz":
            raise gzip.BadGzipFile("it lacks gzip's first two bytes")
        else:
            with path.open(encoding="utf-8") as lines:
                yield lines


def read_table(path: Path, needed: Sequence[str] = (), layout: Layout | None = None) -> pd.DataFrame:
    """Read a table that has one row per cell, gene or guide, as text.

    Parameters
    ----------
    path
        The file, gzipped or plain.
    needed
        Columns that must be there and are kept; all are kept where none is named.
    layout
        How it is written; tab-separated with a header by default.

    Returns
    -------
    DataFrame
        Columns of text; empty fields and "NA" are missing.

    Raises
    ------
    DataError
        A column is missing or two have one name; the file is truncated; it has no rows.
    """
    layout = layout or Layout()
    with open_text(path) as lines:
        names = list(layout.names) or None
        table = pd.read_csv(
            lines,
            sep=layout.sep,
            header=None,
            names=names,
            skiprows=layout.skip,
            comment=layout.comment,
            dtype=str,
            engine="c" if len(layout.sep) == 1 or layout.sep == r"\s+" else "python",
        )
    if layout.header:
        table = _named(table, path)
    check_columns(list(table.columns), needed, path)
    if table.empty:
        raise DataError(f"{path} has no rows. It is cut off or another file; get it again.")
    return table[list(needed)] if needed else table


def _named(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Take the first line as the header; pandas would rename the second of two columns of one name without a word."""
    header = [str(name).strip() for name in table.iloc[0]]
    if header and table.iloc[1:].empty:
        raise DataError(f"{path} has a header and no rows. It is cut off or another file; get it again.")
    return table.iloc[1:].set_axis(header, axis=1).reset_index(drop=True)


def check_columns(columns: Sequence[str], needed: Sequence[str], source: object) -> None:
    """Refuse a table with two columns of one name, or without a column that is needed; raises `DataError`."""
    twice = [name for name, n in Counter(columns).items() if n > 1]
    if twice:
        raise DataError(
            f"{source}: {len(twice)} column names occur more than once, such as '{twice[0]}'; it cannot be told which "
            "is meant. Rename or remove one of the two."
        )
    missing = [name for name in needed if name not in columns]
    if missing:
        raise DataError(
            f"{source} lacks the column(s) {', '.join(missing)}; it has {', '.join(map(str, columns))}. Is this the "
            "upstream file?"
        )


def table_chunks(path: Path, layout: Layout, dtypes: Mapping[str, type]) -> Iterator[pd.DataFrame]:
    """Read a long table of numbers chunk by chunk, `ROWS_PER_CHUNK` lines at once; raises as `told_apart`."""
    with open_text(path) as lines:
        yield from pd.read_csv(
            lines,
            sep=layout.sep,
            header=None,
            names=list(layout.names),
            skiprows=layout.skip,
            comment=layout.comment,
            dtype=dtypes,
            chunksize=ROWS_PER_CHUNK,
        )
