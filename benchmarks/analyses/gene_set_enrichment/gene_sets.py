"""Gene sets: from a local GMT file, or from the annotation of a data set."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.data.annotation import Annotation
from benchmarks.errors import DataError

GeneSets = Mapping[str, tuple[str, ...]]
"""Name → genes, both in alphabetical order."""


def read_gene_sets(path: Path) -> GeneSets:
    """Read gene sets from a GMT file: a line a set, tab-separated name, description, genes.

    Parameters
    ----------
    path
        `*.gmt` or `*.gmt.gz`, such as those of MSigDB.

    Raises
    ------
    DataError
        No such file, another format, or a name given twice.
    """
    if not path.is_file() or not path.name.endswith((".gmt", ".gmt.gz")):
        raise DataError(
            f"Gene sets {path}: expected an existing file *.gmt or *.gmt.gz (name, description, genes by tabs)."
        )
    opener = gzip.open if path.suffix == ".gz" else open
    found: dict[str, tuple[str, ...]] = {}
    try:
        with opener(path, "rt", encoding="utf-8") as handle:
            for number, line in enumerate(handle, start=1):
                name, *rest = line.rstrip("\n").split("\t")
                genes = tuple(sorted({gene.strip() for gene in rest[1:]} - {""}))
                if not name or not genes:
                    raise DataError(
                        f"{path}, line {number}: expected a name, a description and genes, separated by tabs."
                    )
                if name in found:
                    raise DataError(f"{path}, line {number}: the set '{name}' is given twice.")
                found[name] = genes
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise DataError(f"Gene sets {path} cannot be read ({error}); give a GMT file, plain or gzipped.") from error
    return dict(sorted(found.items()))


def annotation_sets(annotation: Annotation) -> GeneSets:
    """Turn gene → terms into term → genes."""
    sets: dict[str, list[str]] = defaultdict(list)
    for gene, terms in annotation.items():
        for term in terms:
            sets[term].append(gene)
    return {term: tuple(sorted(genes)) for term, genes in sorted(sets.items())}


def usable_sets(sets: GeneSets, genes: Iterable[str], least: int, most: int) -> GeneSets:
    """Cut sets down to measured genes and keep those of `least` to `most` genes.

    Raises
    ------
    DataError
        None is left: most often because the sets name genes in another way than the data.
    """
    measured = set(genes)
    cut = {name: tuple(gene for gene in own if gene in measured) for name, own in sets.items()}
    kept = {name: own for name, own in cut.items() if least <= len(own) <= most}
    if not kept:
        largest = max((len(own) for own in cut.values()), default=0)
        examples = next((own[0] for own in sets.values()), "none"), min(measured, default="none")
        raise DataError(
            f"None of {len(sets)} gene sets has {least} to {most} of the {len(measured)} measured genes (the largest has "
            f"{largest}). Genes are named like '{examples[0]}' there and '{examples[1]}' in the data. Give sets of these genes "
            "with --gene-sets, leave the option out for the data set's own annotation, or lower --min-size."
        )
    return kept
