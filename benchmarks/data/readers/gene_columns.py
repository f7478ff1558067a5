"""Gene names as they come → unique symbols: dates turned back into genes, one column per symbol."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.errors import DataError

MONTHS = {
    m: i + 1 for i, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
}
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
        r"\d{1,2}/\d{1,2}/\d{2,4}",
    )
)
"""What spreadsheets make of a symbol such as MARCH1 or SEPT2; the last form does not say which number is the month."""
_MARCHF = [
    "ENSG00000145416",
    "ENSG00000099785",
    "ENSG00000173926",
    "ENSG00000144583",
    "ENSG00000198060",
    "ENSG00000145495",
    "ENSG00000136536",
    "ENSG00000165406",
    "ENSG00000139266",
    "ENSG00000173838",
    "ENSG00000183654",
]
_SEPTIN = [
    "ENSG00000180096",
    "ENSG00000168385",
    "ENSG00000100167",
    "ENSG00000108387",
    "ENSG00000184702",
    "ENSG00000125354",
    "ENSG00000122545",
    "ENSG00000164402",
    "ENSG00000184640",
    "ENSG00000186522",
    "ENSG00000138758",
    "ENSG00000140623",
]


@dataclass(frozen=True)
class DateGene:
    """A gene whose former symbol spreadsheets read as a date. Source: HGNC, by org.Hs.eg.db 3.16.0."""

    symbol: str
    """The symbol since 2020 (DELEC1, SELENOF: 2016–2018)."""
    former: str
    ensembl: str
    month: int
    day: int


DATE_GENES = (
    *(DateGene(f"MARCHF{i}", f"MARCH{i}", ensembl, 3, i) for i, ensembl in enumerate(_MARCHF, 1)),
    *(DateGene(f"SEPTIN{i}", f"SEPT{i}", ensembl, 9, i) for i, ensembl in enumerate(_SEPTIN, 1)),
    DateGene("SEPTIN14", "SEPT14", "ENSG00000154997", 9, 14),
    DateGene("SELENOF", "SEP15", "ENSG00000183291", 9, 15),
    DateGene("MTARC1", "MARC1", "ENSG00000186205", 3, 1),
    DateGene("MTARC2", "MARC2", "ENSG00000117791", 3, 2),
    DateGene("DELEC1", "DEC1", "ENSG00000173077", 12, 1),
)
_BY_FORMER = {gene.former: gene.symbol for gene in DATE_GENES}
_BY_ENSEMBL = {gene.ensembl: gene.symbol for gene in DATE_GENES}


def is_date(name: str) -> bool:
    """Say whether a gene's name looks like a date."""
    return any(form.fullmatch(name) for form in DATE_FORMS)


def candidates(name: str) -> list[str]:
    """List the genes that a date may have been, by their present symbols."""
    for form in DATE_FORMS[:-1]:
        found = form.fullmatch(name)
        if found:
            month = found["month"].lower()
            number = int(month) if month.isdigit() else MONTHS[month[:3]]
            return [g.symbol for g in DATE_GENES if (g.month, g.day) == (number, int(found["day"]))]
    return []


def restore(names: Sequence[str], source: str, ids: Sequence[str] = (), notes: list[str] | None = None) -> list[str]:
    """Turn dates back into gene symbols, and the former symbols of the same genes into the present ones.

    Parameters
    ----------
    names
        Gene symbols, "A+B" for combinations.
    source
        The file, for messages.
    ids
        Ensembl ids of the same genes, with or without version; they decide where a date may be two genes.
    notes
        Takes a sentence on what was changed.

    Returns
    -------
    list of str
        The symbols.

    Raises
    ------
    DataError
        A date that may be more than one gene, or none, and has no id: 1-Mar is MARCH1 or MARC1.
    """
    present = {part for name in names for part in _restored_former(name).split("+")}
    given = list(ids) if len(ids) else [""] * len(names)
    restored = [
        "+".join(_restored(part, identifier.split(".")[0], present, source) for part in name.split("+"))
        for name, identifier in zip(names, given, strict=True)
    ]
    changed = {old: new for old, new in zip(names, restored, strict=True) if old != new}
    if changed and notes is not None:
        pairs = ", ".join(f"{old} → {new}" for old, new in sorted(changed.items())[:5])
        notes.append(
            f"{source}: {len(changed)} gene names that are or resemble dates have their present symbols: {pairs}."
        )
    return restored


def _restored_former(name: str) -> str:
    return "+".join(_BY_FORMER.get(part, part) for part in name.split("+"))


def _restored(name: str, identifier: str, present: set[str], source: str) -> str:
    if not is_date(name):
        return _BY_FORMER.get(name, name)
    if identifier:
        return _BY_ENSEMBL.get(identifier, identifier)
    possible = [gene for gene in candidates(name) if gene not in present]
    if len(possible) != 1:
        told = " or ".join(possible) if possible else "no gene that is known to be turned into this date"
        raise DataError(
            f"{source}: gene '{name}' is a date that a spreadsheet made of a symbol; it may be {told}. Put the symbol "
            "back by hand, or give Ensembl ids."
        )
    return possible[0]


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
        As they come [source column]; an empty one is replaced by its id.
    source
        The file, for messages.
    ids
        Ensembl ids [source column], if there are any.
    summed
        Whether columns of one symbol are summed (counts); otherwise each takes its id as name, for values on another
        scale cannot be added.
    notes
        Takes what was changed.

    Raises
    ------
    DataError
        A name is missing, a date cannot be told, or a symbol that occurs twice has no ids and may not be summed.
    """
    named = [str(s).strip() or str(i) for s, i in zip(symbols, ids if len(ids) else [""] * len(symbols), strict=True)]
    if not all(named):
        raise DataError(f"{source}: gene {named.index('') + 1} has no name. Give every gene a symbol or an id.")
    named = restore(named, source, ids, notes)
    twice = {name for name, n in Counter(named).items() if n > 1}
    if twice and not summed:
        if not len(ids):
            raise DataError(
                f"{source}: {len(twice)} genes occur more than once, such as '{min(twice)}', and have no ids to tell "
                "them apart. Make the names unique, or keep one of each."
            )
        named = [identifier if name in twice else name for name, identifier in zip(named, ids, strict=True)]
    if twice and notes is not None:
        how = "their counts are summed" if summed else "they are called by their ids"
        notes.append(f"{source}: {len(twice)} symbols, such as {min(twice)}, name more than one gene; {how}.")
    column, names = pd.factorize(np.asarray(named, dtype=object))
    return GeneMap(pd.Index(names), column)


def share(maps: Iterable[GeneMap], notes: list[str] | None = None) -> list[GeneMap]:
    """Restrict several files to the genes that all of them have, in the order of the first.

    Raises
    ------
    DataError
        They have none in common.
    """
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
    return [GeneMap(common, np.append(common.get_indexer(m.names), -1)[m.column]) for m in every]


def only(genes: GeneMap, wanted: np.ndarray) -> GeneMap:
    """Restrict to the genes of some source columns, bool [source column]."""
    names = genes.names[np.isin(np.arange(len(genes.names)), genes.column[wanted])]
    column = np.append(names.get_indexer(genes.names), -1)[genes.column]
    return GeneMap(names, np.where(wanted, column, -1))
