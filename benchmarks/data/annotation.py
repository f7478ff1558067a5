"""Gene annotation: gene symbol → terms, from NCBI gene2go, a GAF or JSON. Never from a pickle."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from benchmarks.data.cards import read_annotation_card
from benchmarks.data.download import fetch, locate
from benchmarks.data.readers.text_tables import open_text
from benchmarks.errors import DataError

HUMAN = ("9606", "taxon:9606")
Annotation = Mapping[str, frozenset[str]]
GAF = (12, 3, 2, 4)
"""Columns of a GAF 2.x: taxon, qualifier, gene (its symbol), term."""
GENE2GO = (0, 4, 1, 2)
"""The same of gene2go, where the gene is an Entrez id."""


def read_annotation(path: Path) -> Annotation:
    """Read a file of gene annotation, plain or gzipped.

    Parameters
    ----------
    path
        GAF 2.x (`*.gaf[.gz]`), NCBI `gene2go[.gz]` (with `Homo_sapiens.gene_info[.gz]` or a table with columns `symbol`
        and `entrez_id` beside it), or JSON `{symbol: [term, …]}`. Negated annotations (NOT) are left out.

    Raises
    ------
    DataError
        No such file, an unknown format, or nothing human in it.
    """
    if not path.is_file():
        raise DataError(f"Annotation file {path} does not exist; give a GAF, an NCBI gene2go or a JSON file.")
    name = path.name.removesuffix(".gz")
    with open_text(path) as lines:
        if name.endswith(".json"):
            pairs = _json_pairs(lines, path)
        elif name.endswith(".gaf"):
            pairs = list(_table_pairs(lines, GAF))
        elif name.startswith("gene2go"):
            symbols = _symbols(path.parent)
            pairs = [(symbols[gene], term) for gene, term in _table_pairs(lines, GENE2GO) if gene in symbols]
        else:
            raise DataError(
                f"Annotation file {path.name} is of no known format; expected *.gaf, gene2go* or *.json, "
                "each plain or .gz. Pickles are refused: reading one can run code."
            )
    terms: dict[str, set[str]] = defaultdict(set)
    for gene, term in pairs:
        terms[gene].add(term)
    if not terms:
        raise DataError(f"Annotation file {path} holds no human gene annotation; is it complete?")
    return {gene: frozenset(found) for gene, found in sorted(terms.items())}


def from_card(name: str, data_dir: Path | None) -> Annotation:
    """Read the annotation of a card from the first of its files that is here, else downloaded; raises as `download.fetch`."""
    files = read_annotation_card(name).files
    here = (found for found in (locate(file, data_dir) for file in files) if found)
    found = next(here, None) or fetch(files[0], data_dir)
    return read_annotation(found.path)


def _json_pairs(lines: IO[str], path: Path) -> list[tuple[str, str]]:
    try:
        table = TypeAdapter(dict[str, list[Any]]).validate_json(lines.read())
    except ValidationError as error:
        raise DataError(
            f"Annotation file {path}: expected an object of gene symbol → list of terms: {error.errors()[0]['msg']}."
        ) from error
    return [(gene, str(term)) for gene, terms in table.items() for term in terms]


def _table_pairs(lines: Iterable[str], columns: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """Human genes and terms of a table whose `columns` are taxon, qualifier, gene and term."""
    for line in lines:
        row = line.rstrip("\n").split("\t")
        if line.startswith(("!", "#")) or len(row) <= max(columns):
            continue
        taxon, qualifier, gene, term = (row[column] for column in columns)
        if taxon.split("|")[0] in HUMAN and "NOT" not in re.split(r"[| ]", qualifier):
            yield gene, term


def _symbols(folder: Path) -> dict[str, str]:
    """Entrez gene id → symbol, from a file beside gene2go."""
    for path in sorted(folder.iterdir()):
        named = path.name.startswith("symbol_ensembl_entrez")
        if not named and "gene_info" not in path.name:
            continue
        with open_text(path) as lines:
            rows = (line.rstrip("\n").split("\t") for line in lines)
            if named:
                head = next(rows, [])
                symbol, entrez = head.index("symbol"), head.index("entrez_id")
                return {row[entrez]: row[symbol] for row in rows}
            return {row[1]: row[2] for row in rows if row[0] in HUMAN}
    raise DataError(f"gene2go names genes by Entrez id; put Homo_sapiens.gene_info.gz (NCBI) beside it in {folder}.")
