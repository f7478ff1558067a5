"""A user's own h5ad file as a data set, without code: which columns hold what is said on the command line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from anndata import read_h5ad

from benchmarks.data.cards import Card
from benchmarks.data.readers.h5ad import Keys, read_h5ad_blocks
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.schema import SOURCE_SPACES, Reading, Space, tell_space
from benchmarks.data.sources import Source, hash_shared_code
from benchmarks.errors import DataError

KINDS = ("CRISPR", "drug", "cytokine")
FILE = "h5ad"


@dataclass(frozen=True)
class OwnFile:
    """An h5ad file and where its labels are; columns are of obs."""

    path: Path
    perturbation: str = "perturbation"
    context: str = ""
    """Column; empty: all cells are of one context, "all"."""
    batch: str = ""
    dose: str = ""
    dose_unit: str = "nM"
    control: str = ""
    """The control's label; empty: "control", "non-targeting", "DMSO" and other usual ones."""
    separator: str = "+"
    """What joins the parts of a combination."""
    values: str = "auto"
    """What X holds: one of `SOURCE_SPACES`; "auto" finds it from a sample."""
    kind: str = "CRISPR"
    """What was done to the cells: one of `KINDS`."""
    source: str = "real"
    """"real" or "simulated"."""

    @property
    def name(self) -> str:
        """The data set's name: the file's, of letters, digits and underscores."""
        return re.sub(r"\W+", "_", self.path.stem).strip("_") or "own"


def own_source(own: OwnFile) -> Source:
    """Make a data set of a file; its card is made in memory.

    Raises
    ------
    DataError
        There is no such file, it is no h5ad, or its values or the kind of its perturbations are none that are known.
    """
    for option, given, known in (("kind", own.kind, KINDS), ("values", own.values, ("auto", *SOURCE_SPACES))):
        if given not in known:
            raise DataError(f"--{option} is '{given}'; expected one of {', '.join(known)}.")
    own = replace(own, values=_tell_space(own.path)) if own.values == "auto" else own
    card = Card(
        name=own.name,
        title=f"{own.path.name}, a file of the user's own",
        source=own.source,
        perturbation_type=own.kind,
        space=own.values,
        licence="not stated: a file of the user's own",
        citation="not stated: a file of the user's own",
        control_rule=f"cells labelled '{own.control}'" if own.control else "cells with a usual control label",
        annotation="human_go" if own.kind == "CRISPR" else "",
        columns={name: column for name, column in asdict(own).items() if name in _COLUMNS and column},
    )
    options = json.dumps({**asdict(own), "path": own.path.name}, sort_keys=True)
    code = hashlib.sha256(f"{hash_shared_code()}\x1f{options}".encode()).hexdigest()

    def read(files: Mapping[str, Path]) -> Reading:
        notes: list[str] = []
        return Reading(read_h5ad_blocks(files[FILE], _keys(own), card.space, notes), notes=notes)

    return Source(card, read, code, {FILE: own.path})


_COLUMNS = ("perturbation", "context", "batch", "dose")


def _keys(own: OwnFile) -> Keys:
    return Keys(
        perturbation=own.perturbation,
        context=own.context,
        batch=own.batch,
        dose=own.dose,
        dose_unit=own.dose_unit,
        labelling=Labelling(own.separator, (own.control,) if own.control else ()),
        perturbs_genes=own.kind == "CRISPR",
    )


def _tell_space(path: Path) -> Space:
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected an h5ad file.")
    try:
        file = read_h5ad(path, backed="r")
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no readable h5ad file ({type(error).__name__}: {error}).") from error
    try:
        if file.X is None or not file.n_obs:
            raise DataError(f"{path} has no values in X; put the expression values there.")
        return tell_space(file.X, str(path))
    finally:
        file.file.close()
