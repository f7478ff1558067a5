"""A user's own cells as a data set, without code: an h5ad file, or an AnnData in memory, and which columns hold what."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast

from anndata import AnnData

from benchmarks.data.cards import Card
from benchmarks.data.readers.elements import InMemory
from benchmarks.data.readers.h5ad import INDEX, Keys, read_h5ads, tell_h5ad_space
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import SOURCE_SPACES, Reading
from benchmarks.data.sources import Source, hash_shared_code
from benchmarks.data.space_names import Space
from benchmarks.data.stand_ins import read_list
from benchmarks.errors import DataError

KINDS = ("CRISPR", "drug", "cytokine")
COLUMNS = ("perturbation", "context", "batch", "dose")
FILE = "h5ad"


@dataclass(frozen=True)
class OwnFile:
    """An h5ad file and where its labels are; columns are of obs."""

    path: Path
    """The file; of cells in memory, the name that they go by."""
    perturbation: str = "perturbation"
    context: str = ""
    """Column; empty: all cells are of one context, "all"."""
    batch: str = ""
    dose: str = ""
    dose_unit: str = "nM"
    control: tuple[str, ...] = ()
    """Labels of controls, or patterns such as "NT*"; empty: "control", "non-targeting", "DMSO" and other usual ones."""
    separator: str = "+"
    """What joins the parts of a combination."""
    values: str = "auto"
    """What X holds: one of `SOURCE_SPACES`; "auto" finds it from a sample."""
    kind: str = "CRISPR"
    """What was done to the cells: one of `KINDS`."""
    source: Literal["real", "simulated"] = "real"
    gene_key: str = ""
    """Column of var with the gene symbols; empty: its index."""
    layer: str = "X"
    """The matrix to read: "X", "raw", or a name in layers."""

    @property
    def name(self) -> str:
        """The data set's name: the file's, of letters, digits and underscores."""
        return re.sub(r"\W+", "_", self.path.stem).strip("_") or "own"


def own_source(own: OwnFile, cells: AnnData | None = None, store: Path | None = None) -> Source:
    """Make a data set of a file, or of cells in memory; its card is made in memory.

    `cells` are read in place of the file, `store` is the folder that the prepared cells are written to (None: the cache).

    Raises
    ------
    DataError
        There is no such file, it is no h5ad, or its values or the kind of its perturbations are none that are known.
    """
    for option, given, known in (("kind", own.kind, KINDS), ("values", own.values, ("auto", *SOURCE_SPACES))):
        if given not in known:
            raise DataError(f"--{option} is '{given}'; expected one of {', '.join(known)}.")
    where = own.path if cells is None else InMemory(cells, own.path.stem)
    listed = cells is None and own.path.name in read_list(own.path.parent)
    why = "given with --values"
    if own.values == "auto":
        found, why = tell_h5ad_space(where, own.layer)
        own = replace(own, values=found)
    card = Card(
        name=own.name,
        title=f"{own.path.name}, {'a file' if cells is None else 'cells'} of the user's own",
        source="simulated" if listed else own.source,
        perturbation_type=own.kind,
        space=cast(Space, own.values),
        licence="not stated: a file of the user's own",
        citation="not stated: a file of the user's own",
        control_rule=f"cells labelled {' or '.join(own.control)}"
        if own.control
        else "cells with a usual control label",
        annotation="human_go" if own.kind == "CRISPR" else "",
        columns={name: column for name in COLUMNS if (column := getattr(own, name))},
    )
    keys = Keys(
        perturbation=own.perturbation,
        context=own.context,
        batch=own.batch,
        dose=own.dose,
        dose_unit=own.dose_unit,
        labelling=Labelling(own.separator, own.control, genes=own.kind == "CRISPR"),
        genes=own.gene_key or INDEX,
        layer=own.layer,
    )
    options = json.dumps({**asdict(own), "path": own.path.name}, sort_keys=True)
    code = hashlib.sha256(f"{hash_shared_code()}\x1f{options}".encode()).hexdigest()

    def read(files: Mapping[str, Path]) -> Reading:
        given = files if isinstance(where, Path) else {FILE: where}
        reading = read_h5ads(given, {FILE: keys}, card.space, suggest=True)
        reading.notes.insert(0, f"The values are {card.space}: {why}.")
        return reading

    return Source(card, read, code, {FILE: own.path} if cells is None else {}, store)
