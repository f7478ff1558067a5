"""What a user may have meant to say of a file: columns that look like contexts, doses or gene names."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from benchmarks.contract import CONTROL
from benchmarks.data.readers.gene_columns import match_genes

_CONTEXTS = re.compile(
    r"(cell|tissue|donor|patient|sample|subject|individual|organ|context|condition|strain|genotype)s?([-_. ]?(line|type|name|id|class|"
    r"label|source))?s?|lines?|stim(ulation|ulus)?|treatment",
    re.IGNORECASE,
)
_BATCHES = re.compile(
    r"batch(es)?([-_. ]?(id|name))?|replicates?|rep|plate|lane|library|gem[-_. ]?group|channel", re.IGNORECASE
)
_DOSES = re.compile(r".*\b(dose|dosage|conc|concentration)s?\b.*", re.IGNORECASE)
MANY = 50
"""Values up to which a column may be one of contexts."""
CROSSED = 0.8
"""Share of the perturbations that several values of such a column have."""
OPTIONS = ("--context-key", "--batch-key", "--dose-key")
Columns = Iterable[tuple[str, pd.Series]]


def suggest_keys(source: str, labels: pd.DataFrame, columns: Columns, options: Iterable[str]) -> list[str]:
    """Name columns that look like contexts, batches or doses where none was given.

    Parameters
    ----------
    source
        The file, for the notes.
    labels
        Canonical obs [cell].
    columns
        Names and values [cell] of the columns that no option names.
    options
        Those of `OPTIONS` that there are and that were not given.

    Returns
    -------
    list of str
        One note for each option. Contexts and batches have a few values, and nearly all perturbations and the controls are in
        several of them.
    """
    found: dict[str, list[str]] = {option: [] for option in OPTIONS}
    perturbation = labels["perturbation"].astype(str).to_numpy()
    for name, values in columns:
        text = values.astype("string")
        sizes = text.value_counts()
        words = re.sub(r"[-_.]", " ", name)
        if _DOSES.fullmatch(words):
            if len(sizes) > 1:
                found["--dose-key"].append(f"{name} ({len(sizes)} values)")
            continue
        option = "--context-key" if _CONTEXTS.fullmatch(name) else "--batch-key" if _BATCHES.fullmatch(name) else ""
        if not option or not 1 < len(sizes) <= MANY:
            continue
        crossed = (pd.crosstab(perturbation, text.to_numpy(na_value="")) > 0).sum(axis=1) > 1
        if crossed.mean() >= CROSSED and crossed.get(CONTROL, True):
            found[option].append(f"{name} ({', '.join(f'{value} {n}' for value, n in sizes.head(4).items())})")
    return [
        f"{source}: obs has {', '.join(found[option])}, with numbers of cells. Without {option} all cells are taken together."
        for option in options
        if found[option]
    ]


def tell_unmeasured(source: str, perturbations: Iterable[str], genes: Iterable[str], columns: Columns) -> list[str]:
    """Note perturbed genes that are not among the genes or are found under another name, and what helps.

    `columns` are names and values [gene] of the columns of var that the genes are not named by.
    """
    parts = sorted({part for name in perturbations if name != CONTROL for part in name.split("+")})
    gene_of = match_genes(parts, genes)
    notes = []
    if other := [f"{part} is {gene}" for part, gene in gene_of.items() if part != gene]:
        notes.append(
            f"{source}: {len(other)} perturbed genes are among the genes under another name, which metrics leave out as the "
            f"perturbed gene, and models do not know: {_some(other)}."
        )
    if unknown := [part for part in parts if part not in gene_of]:
        named = {name: len(set(unknown).intersection(values.dropna().astype(str))) for name, values in columns}
        best = max(named, key=lambda name: named[name], default="")
        hint = (
            f"column {best} of var has {named[best]} of them: give --gene-key {best}"
            if best and named[best]
            else "if they are genes under other names, give the column of var that has the same names with --gene-key"
        )
        notes.append(
            f"{source}: {len(unknown)} perturbed names are not among the genes: {_some(unknown)}. Metrics that leave out the "
            f"perturbed gene do not leave it out here; {hint}."
        )
    return notes


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")
