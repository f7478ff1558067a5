"""Gene names as they come → unique symbols: dates turned back into genes, one column per symbol."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.errors import DataError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    "(?P<month>jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|"
    "dec(ember)?)"
)
DATE_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?P<day>\d{{1,2}})-{_MONTH}(-\d{{2,4}})?",
        rf"{_MONTH}-(?P<day>\d{{1,2}})",
        r"\d{4}[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})( 00:00:00)?",
        r"(?P<first>\d{1,2})/(?P<second>\d{1,2})/\d{2,4}",
    )
)
"""What spreadsheets make of a symbol such as MARCH1 or SEPT2; the last form does not say which number is the month."""
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}")
FIRST_DAY = date(1899, 12, 30)
SERIAL = (36526, 54788)
"""Day numbers of the years 2000 to 2049, counted from `FIRST_DAY`, as spreadsheets do."""
BROKEN = frozenset(("#n/a", "#ref!", "#name?", "#value!", "#num!", "#div/0!", "nan", "none", "<na>"))
"""What stands where there is no name."""
DATE_GENES = pd.read_csv(Path(__file__).with_name("date_genes.csv"))
"""Genes whose former symbols (until 2016–2020) spreadsheets read as dates. Source: HGNC, by org.Hs.eg.db 3.16.0."""
_BY_FORMER = dict(zip(DATE_GENES["former"], DATE_GENES["symbol"], strict=True))
_BY_ENSEMBL = dict(zip(DATE_GENES["ensembl"], DATE_GENES["symbol"], strict=True))


def candidates(name: str) -> list[str] | None:
    """List the genes that a date may have been, by their present symbols; None if the name is no date.

    A month with a number that no gene has is a name: OCT-4, DEC-205.
    """
    for form in DATE_FORMS:
        found = form.fullmatch(name)
        if not found:
            continue
        parts = found.groupdict()
        if "first" in parts:
            first, second = int(parts["first"]), int(parts["second"])
            return [*_genes_of(first, second), *(_genes_of(second, first) if first != second else ())]
        month = parts["month"]
        number = int(month) if month.isdigit() else MONTHS.index(month[:3].lower()) + 1
        genes = _genes_of(number, int(parts["day"]))
        return None if form is DATE_FORMS[1] and not genes else genes
    return None


def _genes_of(month: int, day: int) -> list[str]:
    return list(DATE_GENES.loc[(DATE_GENES["month"] == month) & (DATE_GENES["day"] == day), "symbol"])


def _with_dates(names: Sequence[str]) -> list[str]:
    """Write the day numbers of a spreadsheet as dates, among names that are not all numbers: 43891 is 2020-03-01."""
    days = [name.isdigit() and len(name) == 5 and SERIAL[0] <= int(name) <= SERIAL[1] for name in names]
    if not any(days) or sum(name.isdigit() for name in names) > len(names) / 10:
        return list(names)
    return [
        (FIRST_DAY + timedelta(int(name))).isoformat() if day else name for name, day in zip(names, days, strict=True)
    ]


def restore(names: Sequence[str], source: str, ids: Sequence[str] = (), notes: list[str] | None = None) -> list[str]:
    """Turn dates back into gene symbols, and the former symbols of the same genes into the present ones.

    Parameters
    ----------
    names
        Gene symbols, "A+B" for combinations.
    source
        The file, for messages and `notes`, which take what was changed.
    ids
        Ensembl ids of the same genes, with or without version; they decide where a date may be two genes.

    Raises
    ------
    DataError
        A date that may be more than one gene, or none, and has no id: 1-Mar is MARCH1 or MARC1.
    """
    given_names, names = names, _with_dates(names)
    present = {_BY_FORMER.get(part, part) for name in names for part in name.split("+")}
    given = list(ids) if len(ids) else [""] * len(names)
    restored = [
        "+".join(_restored(part, identifier.split(".")[0], present, source) for part in name.split("+"))
        for name, identifier in zip(names, given, strict=True)
    ]
    changed = {old: new for old, new in zip(given_names, restored, strict=True) if old != new}
    if changed and notes is not None:
        pairs = ", ".join(f"{old} → {new}" for old, new in sorted(changed.items())[:5])
        notes.append(
            f"{source}: {len(changed)} gene names that are or resemble dates have their present symbols: {pairs}."
        )
    return restored


def _restored(name: str, identifier: str, present: set[str], source: str) -> str:
    genes = candidates(name)
    if genes is None:
        return _BY_FORMER.get(name, name)
    if _ENSEMBL.fullmatch(identifier):
        return _BY_ENSEMBL.get(identifier, identifier)
    possible = [gene for gene in genes if gene not in present]
    if len(possible) != 1:
        told = " or ".join(possible) if possible else "no gene that is known to be turned into this date"
        raise DataError(
            f"{source}: gene '{name}' is a date that a spreadsheet made of a symbol; it may be {told}. Put the symbol "
            "back by hand, or give Ensembl ids."
        )
    return possible[0]


def match_genes(names: Iterable[str], genes: Iterable[str]) -> dict[str, str]:
    """Find genes by name or, where there is none, by a name in another case, without version or without a guide's ending.

    "ensg00000012048" is "ENSG00000012048.7", and "BRCA1_sg2" is "BRCA1". Returns name → gene for those that are found.
    """
    own = tuple(genes)
    exact, plain = set(own), _plain_names(own)
    found = {}
    for name in names:
        folded = _without_version(name).casefold()
        ends = [len(folded), *(i for i in reversed(range(len(folded))) if folded[i] == "_")]
        gene = name if name in exact else next((plain[folded[:end]] for end in ends if folded[:end] in plain), None)
        if gene is not None:
            found[name] = gene
    return found


@lru_cache(maxsize=4)
def _plain_names(genes: tuple[str, ...]) -> dict[str, str]:
    return {_without_version(gene).casefold(): gene for gene in genes}


def _without_version(name: str) -> str:
    return re.sub(r"(?<=\d)\.\d+$", "", name)


@dataclass(frozen=True)
class GeneMap:
    """Which column of a source goes to which gene."""

    names: pd.Index
    """Unique symbols [gene]."""
    column: np.ndarray
    """Gene of each source column, −1 for none, int [source column]."""

    def apply(self, x: sp.csr_matrix) -> sp.csr_matrix:
        """Sum the columns [cell, source column] of each gene: [cell, gene]."""
        if len(self.names) == len(self.column) and np.array_equal(self.column, np.arange(len(self.column))):
            return x
        kept = np.flatnonzero(self.column >= 0)
        ones = np.ones(len(kept), dtype=np.float32)
        to_genes = sp.csr_matrix((ones, (kept, self.column[kept])), shape=(len(self.column), len(self.names)))
        return (x @ to_genes).tocsr()

    def keep(self, names: pd.Index) -> GeneMap:
        """Restrict to some genes, in their order."""
        return GeneMap(names, np.append(names.get_indexer(self.names), -1)[self.column])

    def only(self, wanted: np.ndarray) -> GeneMap:
        """Restrict to the genes of some source columns, bool [source column]."""
        kept = self.keep(self.names[np.isin(np.arange(len(self.names)), self.column[wanted])])
        return GeneMap(kept.names, np.where(wanted, kept.column, -1))


def map_genes(
    symbols: Sequence[str],
    source: str,
    ids: Sequence[str] = (),
    *,
    summed: bool = True,
    notes: list[str] | None = None,
) -> GeneMap:
    """Name the genes of a file.

    Parameters
    ----------
    symbols
        As they come [source column]; an empty one, or what a spreadsheet or pandas writes for none, is replaced by its id.
    source
        The file, for messages and `notes`, which take what was changed.
    ids
        Ensembl ids [source column], if there are any.
    summed
        Whether columns of one symbol are summed (counts); otherwise each takes its id as name, for values on another
        scale cannot be added.

    Raises
    ------
    DataError
        A name is missing, a date cannot be told, or a symbol that occurs twice has no ids and may not be summed.
    """
    stripped = [str(s).strip() for s in symbols]
    unnamed = [s.casefold() in BROKEN or not s for s in stripped]
    named = [
        str(i).strip() if none else s
        for s, i, none in zip(stripped, ids if len(ids) else [""] * len(stripped), unnamed, strict=True)
    ]
    if notes is not None and any(unnamed) and all(named):
        notes.append(f"{source}: {sum(unnamed)} genes have no symbol and are called by their ids.")
    if not all(named):
        raise DataError(
            f"{source}: gene {named.index('') + 1} has no name. Give every gene a symbol or an id, or another column with --gene-key."
        )
    named = restore(named, source, ids, notes)
    twice = {name for name, n in Counter(named).items() if n > 1}
    if twice and not summed:
        if not len(ids):
            raise DataError(
                f"{source}: {len(twice)} genes occur more than once, such as '{min(twice)}', and have no ids. Make the "
                "names unique, or keep one of each."
            )
        named = [identifier if name in twice else name for name, identifier in zip(named, ids, strict=True)]
    if twice and notes is not None:
        how = "their counts are summed" if summed else "they are called by their ids"
        notes.append(f"{source}: {len(twice)} symbols, such as {min(twice)}, name more than one gene; {how}.")
    column, names = pd.factorize(np.asarray(named, dtype=object))
    return GeneMap(pd.Index(names), column)


def share(maps: Iterable[GeneMap], notes: list[str] | None = None) -> list[GeneMap]:
    """Restrict several files to the genes that all have, in the order of the first; raises `DataError` for none in common."""
    every = list(maps)
    common = every[0].names
    for other in every[1:]:
        common = common[common.isin(other.names)]
    if not len(common):
        raise DataError("The files have no gene in common; one names genes by symbol and another by id. Use one kind.")
    if notes is not None and any(len(m.names) > len(common) for m in every):
        notes.append(
            f"{len(common)} genes are in every file; the files have {', '.join(str(len(m.names)) for m in every)}."
        )
    return [m.keep(common) for m in every]
