"""Gene names: one approved symbol for every way a data set may write a gene, and never a guess between two genes."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from benchmarks.data.cards import read_annotation_card
from benchmarks.data.download import fetch, locate
from benchmarks.errors import DataError

How = Literal["kept", "case", "previous", "alias", "ensembl", "date", "suffix", "ambiguous", "unknown"]
PREVIOUS_COLUMNS = ("prev_symbol",)
ALIAS_COLUMNS = ("alias", "alias_symbol")
ENSEMBL_COLUMNS = ("ensembl_id", "ensembl_gene_id")
NAME_COLUMNS = (*PREVIOUS_COLUMNS, *ALIAS_COLUMNS, *ENSEMBL_COLUMNS)
_ENSEMBL = re.compile(r"(ENSG\d{11})(\.\d+)?(_PAR_Y)?", re.IGNORECASE)
_MADE_UNIQUE = re.compile(r"(.+)[-.]\d+")
_DAY_MONTH = re.compile(r"(\d{1,2})[-/ ]([A-Za-z]{3})|([A-Za-z]{3})[-/ ](\d{1,2})")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?: 00:00:00)?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LONG = {"MAR": ("MARCH", "MARC"), "SEP": ("SEPT",)}
"""Spellings that a spreadsheet reads as a month, besides the month's three letters.

Source: Ziemann, Eren & El-Osta 2016, doi:10.1186/s13059-016-1044-7.
"""


@dataclass(frozen=True)
class GeneTable:
    """What is known of gene names: every mapping is from one spelling to all genes it may mean."""

    approved: frozenset[str]
    folded: Mapping[str, frozenset[str]]
    """Approved symbols by their upper-case spelling."""
    previous: Mapping[str, frozenset[str]]
    """Symbols that were approved once, in upper case → approved symbols."""
    aliases: Mapping[str, frozenset[str]]
    """Alias symbols, in upper case → approved symbols."""
    ensembl: Mapping[str, frozenset[str]]
    """Ensembl gene id without version → approved symbols."""

    def meanings(self, *spellings: str) -> tuple[frozenset[str], How]:
        """All approved symbols that any of some spellings may mean, and how they were found.

        Only the best reading counts: approved symbols before other capitals, these before symbols approved once (data sets
        carry the symbols of their day: SEPT2 was SEPTIN2's, though SEPTIN6 lists it as an alias), aliases last.
        """
        upper = [spelling.upper() for spelling in spellings]
        exact = frozenset(self.approved.intersection(spellings))
        readings: tuple[tuple[How, frozenset[str]], ...] = (
            ("kept", exact),
            ("case", _union(self.folded, upper)),
            ("previous", _union(self.previous, upper)),
            ("alias", _union(self.aliases, upper)),
        )
        return next(((found, how) for how, found in readings if found), (frozenset(), "unknown"))


def read_gene_table(paths: Iterable[Path]) -> GeneTable:
    """Read tables of gene names, tab-separated with a header, plain or gzipped; several are put together.

    Parameters
    ----------
    paths
        Each has the column `symbol`, and any of `alias`, `alias_symbol`, `prev_symbol` (one name, or several joined by
        "|") and `ensembl_id` or `ensembl_gene_id`: HGNC's complete set is one, symbol–alias pairs another.

    Raises
    ------
    DataError
        A file that is not there, is no such table, or holds no names.
    """
    symbols: set[str] = set()
    known: dict[str, dict[str, set[str]]] = {column: {} for column in NAME_COLUMNS}
    for path in paths:
        table = _read_table(path)
        if "status" in table:  # HGNC's withdrawn entries name no gene any more
            table = table[table["status"].isin(["", "Approved"])]
        symbols.update(table["symbol"])
        for column in (c for c in NAME_COLUMNS if c in table):
            for symbol, names in zip(table["symbol"], table[column], strict=True):
                for name in filter(None, names.strip('"').split("|")):
                    known[column].setdefault(name.strip().upper(), set()).add(symbol)
    symbols.discard("")
    if not symbols:
        raise DataError("No gene table was given, or none of them names a gene; give HGNC's complete set, for one.")
    folded: dict[str, set[str]] = {}
    for symbol in symbols:
        folded.setdefault(symbol.upper(), set()).add(symbol)
    kinds = [[folded], *([known[c] for c in columns] for columns in (PREVIOUS_COLUMNS, ALIAS_COLUMNS, ENSEMBL_COLUMNS))]
    return GeneTable(frozenset(symbols), *(_together(mappings) for mappings in kinds))


def gene_table_of_card(name: str = "human_genes", data_dir: Path | None = None) -> GeneTable:
    """Read the gene table of a card: its first file if it is here, else the others that are, else the first, downloaded.

    Raises
    ------
    UnknownName, DownloadError, DataError
        No such card; nothing here and nothing to be downloaded; not a table of gene names.
    """
    first, *others = read_annotation_card(name).files
    here = [locate(first, data_dir)] if locate(first, data_dir) else [locate(file, data_dir) for file in others]
    found = [file for file in here if file] or [fetch(first, data_dir)]
    return read_gene_table(file.path for file in found)


def resolve(names: Sequence[str], table: GeneTable) -> pd.DataFrame:
    """Find the approved symbol of every name.

    Parameters
    ----------
    names
        Names as a data set has them: symbols, aliases, Ensembl ids, symbols turned into dates.
    table
        What is known of gene names.

    Returns
    -------
    pd.DataFrame
        One row a name, in their order: `given`; `name`, the approved symbol, or the given name where none or several
        are known; `how`: "kept", "case" (other capitals), "previous" (approved once), "alias", "ensembl", "date" (what a
        spreadsheet made a date of), "suffix" (a number was added to make a repeated name unique), "ambiguous" (several
        genes: never guessed), "unknown"; `candidates`, the genes of an ambiguous name, joined by ", ".
    """
    given = [str(name).strip() for name in names]
    present = set(given)
    rows = [(name, *_resolve(name, present, table)) for name in given]
    return pd.DataFrame(rows, columns=["given", "name", "how", "candidates"])


def _resolve(name: str, present: set[str], table: GeneTable) -> tuple[str, How, str]:
    """Approved symbol, how it was found, and candidates of one name."""
    identifier = _ENSEMBL.fullmatch(name)
    dates = _date_spellings(name)
    how: How
    if identifier:
        found, how = table.ensembl.get(identifier[1].upper(), frozenset()), "ensembl"
    elif dates:
        found, how = table.meanings(*dates)[0], "date"
    else:
        found, how = table.meanings(name)
    if not found and (unique := _MADE_UNIQUE.fullmatch(name)) and unique[1] in present:
        found, how = table.meanings(unique[1])[0], "suffix"
    if not found:
        return identifier[1].upper() if identifier else name, "unknown", ""
    if len(found) > 1:
        return name, "ambiguous", ", ".join(sorted(found))
    return next(iter(found)), how, ""


def _date_spellings(name: str) -> list[str]:
    """Symbols that a spreadsheet may have turned into this date; none if it is no date.

    "1-Mar" may have been MARCH1 or MARC1; "2005-03-01", with the first of a month for want of a day, MARCH5 or MARCH1.
    """
    found: list[tuple[str, int]] = []
    if day := _DAY_MONTH.fullmatch(name):
        found = [((day[2] or day[3]).upper(), int(day[1] or day[4]))]
    elif date := _ISO_DATE.fullmatch(name):
        year, month, number = (int(part) for part in date.groups())
        if 1 <= month <= 12:
            found = [(_MONTHS[month - 1], number)]
            if number == 1 and 2001 <= year <= 2031:
                found.append((_MONTHS[month - 1], year - 2000))
    return [
        f"{prefix}{number}" for month, number in found if month in _MONTHS for prefix in (month, *_LONG.get(month, ()))
    ]


def _read_table(path: Path) -> pd.DataFrame:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as handle:
            table = pd.read_csv(handle, sep="\t", dtype=str, keep_default_na=False, quoting=3)
    except (OSError, EOFError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"Gene table {path} cannot be read ({type(error).__name__}: {error}).") from error
    if "symbol" not in table or not set(NAME_COLUMNS) & set(table.columns):
        raise DataError(
            f"Gene table {path} has the columns {', '.join(map(str, table.columns))}; expected 'symbol' and any of "
            f"{', '.join(NAME_COLUMNS)}, separated by tabs."
        )
    return table


def _union(mapping: Mapping[str, frozenset[str]], names: Iterable[str]) -> frozenset[str]:
    return frozenset[str]().union(*(mapping.get(name, ()) for name in names))


def _together(mappings: Iterable[Mapping[str, set[str]]]) -> dict[str, frozenset[str]]:
    """Put mappings of one kind together, with values that stay as they are."""
    found: dict[str, set[str]] = {}
    for mapping in mappings:
        for name, symbols in mapping.items():
            found.setdefault(name, set()).update(symbols)
    return {name: frozenset(symbols) for name, symbols in found.items()}
