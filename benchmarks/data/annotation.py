"""Gene annotation: gene symbol → terms, from NCBI gene2go, a GAF or JSON. Never from a pickle."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import IO, cast

from benchmarks.data.cards import read_annotation_card
from benchmarks.data.download import fetch, locate
from benchmarks.errors import DataError

HUMAN = "9606"
Annotation = Mapping[str, frozenset[str]]


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
    with _open(path) as handle:
        if name.endswith(".json"):
            pairs = _json_pairs(handle, path)
        elif name.endswith(".gaf"):
            pairs = list(_gaf_pairs(handle))
        elif name.startswith("gene2go"):
            pairs = list(_gene2go_pairs(handle, _symbols(path.parent)))
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
    """Read the annotation of a card: from the first of its files that is on this machine, else downloaded.

    Raises
    ------
    DownloadError
        None of the files is here, and none can be downloaded.
    """
    files = read_annotation_card(name).files
    here = (found for found in (locate(file, data_dir) for file in files) if found)
    found = next(here, None) or fetch(files[0], data_dir)
    return read_annotation(found.path)


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return TextIOWrapper(cast(IO[bytes], gzip.open(path, "rb")), encoding="utf-8")
    return path.open(encoding="utf-8")


def _json_pairs(handle: IO[str], path: Path) -> list[tuple[str, str]]:
    try:
        table = json.load(handle)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"Annotation file {path} is not JSON: {error}.") from error
    if not isinstance(table, dict) or not all(isinstance(v, list) for v in table.values()):
        raise DataError(f"Annotation file {path}: expected an object of gene symbol → list of terms.")
    return [(str(gene), str(term)) for gene, terms in table.items() for term in terms]


def _gaf_pairs(handle: Iterable[str]) -> Iterable[tuple[str, str]]:
    """GAF 2.2: column 3 symbol, 4 qualifier, 5 GO id, 13 taxon."""
    for line in handle:
        row = line.rstrip("\n").split("\t")
        if line.startswith("!") or len(row) < 13:
            continue
        if "NOT" not in row[3].split("|") and row[12].split("|")[0] == f"taxon:{HUMAN}":
            yield row[2], row[4]


def _gene2go_pairs(handle: Iterable[str], symbols: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """NCBI gene2go: tax_id, GeneID, GO_ID, Evidence, Qualifier, …"""
    for line in handle:
        row = line.rstrip("\n").split("\t")
        if line.startswith("#") or len(row) < 5 or row[0] != HUMAN or row[4].startswith("NOT"):
            continue
        if row[1] in symbols:
            yield symbols[row[1]], row[2]


def _symbols(folder: Path) -> dict[str, str]:
    """Entrez gene id → symbol, from a file beside gene2go."""
    for path in sorted(folder.iterdir()):
        if "gene_info" in path.name:
            with _open(path) as handle:
                rows = (line.split("\t", 3) for line in handle)
                return {r[1]: r[2] for r in rows if r[0] == HUMAN}
        if path.name.startswith("symbol_ensembl_entrez"):
            with _open(path) as handle:
                header = handle.readline().rstrip("\n").split("\t")
                symbol, entrez = header.index("symbol"), header.index("entrez_id")
                return {r[entrez]: r[symbol] for r in (line.rstrip("\n").split("\t") for line in handle)}
    raise DataError(f"gene2go names genes by Entrez id; put Homo_sapiens.gene_info.gz (NCBI) beside it in {folder}.")
