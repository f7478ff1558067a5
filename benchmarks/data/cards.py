"""Cards: what is known of a data set or an annotation before it is read (`datasets/<name>/card.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.errors import DataError, UnknownName

_PACKAGED = Path(__file__).parents[1] / "_datasets"
DATASETS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "datasets"
"""Folder of the data sets: inside the installed wheel, or at the top of a checkout."""


@dataclass(frozen=True)
class SourceFile:
    """One upstream file."""

    key: str
    """Name by which `read.py` asks for it."""
    filename: str
    url: str = ""
    """Where it is downloaded from; empty where a login or a person is needed (see `where`)."""
    sha256: str = ""
    """Expected digest; empty only where the file could not be seen when the card was written."""
    size: int = 0
    """Bytes; 0 where unknown."""
    where: str = ""
    """How a person gets it, in words."""


@dataclass(frozen=True)
class AnnotationCard:
    """Where a gene annotation comes from; the first of `files` that can be had is used."""

    name: str
    title: str
    licence: str
    citation: str
    homepage: str = ""
    files: tuple[SourceFile, ...] = ()


@dataclass(frozen=True)
class NamedSet:
    """Perturbations of a data set that are tested together, in its own names."""

    summary: str
    perturbations: tuple[str, ...]
    contexts: tuple[str, ...] = ()
    """Tested in these contexts only; empty: in all."""


@dataclass(frozen=True)
class Card:
    """A data set's identity."""

    name: str
    title: str
    source: str
    """"real" or "simulated"; travels with every number made from the data."""
    perturbation_type: str
    space: str
    """Expression space of the values as they come: counts, ln, log2 or zscore."""
    licence: str
    citation: str
    control_rule: str
    homepage: str = ""
    description: str = ""
    annotation: str = ""
    """Name of the annotation card to use where the data set brings none of its own."""
    notes: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, NamedSet] = field(default_factory=dict)
    """Name → conditions that a suite or `--perturbations` can refer to."""
    files: tuple[SourceFile, ...] = ()

    def __post_init__(self) -> None:
        if self.source not in ("real", "simulated"):
            raise DataError(f"Card '{self.name}': source is '{self.source}'; expected 'real' or 'simulated'.")


def available() -> list[str]:
    """Names of all data sets: folders with a card and a reader."""
    return sorted(p.parent.name for p in DATASETS.glob("*/read.py"))


def read_card(name: str, root: Path | None = None) -> Card:
    """Read the card of a data set, `datasets/<name>/card.toml`.

    Raises
    ------
    UnknownName
        There is no such folder.
    DataError
        The card lacks a field, has one that is not known, or is not valid TOML.
    """
    table, path = _read_table("data set", name, root or DATASETS)
    sets = {
        key: _build(NamedSet, {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}, path)
        for key, entry in table.get("sets", {}).items()
    }
    card: Card = _build(Card, {**table, "sets": sets, "notes": tuple(table.get("notes", ()))}, path)
    return card


def read_annotation_card(name: str) -> AnnotationCard:
    """Read the card of a gene annotation; raises as `read_card`."""
    table, path = _read_table("annotation", name, DATASETS)
    card: AnnotationCard = _build(AnnotationCard, table, path)
    return card


def _read_table(kind: str, name: str, root: Path) -> tuple[dict[str, Any], Path]:
    path = root / name / "card.toml"
    if not path.is_file():
        raise UnknownName(kind, name, available())
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path}: not valid TOML: {error}.") from error
    table["files"] = tuple(_build(SourceFile, entry, path) for entry in table.get("files", []))
    if table.get("name") != name:
        raise DataError(f"{path}: name is '{table.get('name')}'; expected the folder's name, '{name}'.")
    return table, path


def _build(kind: Any, table: dict[str, Any], path: Path) -> Any:
    known = {f.name: f for f in fields(kind)}
    extra = sorted(set(table) - set(known))
    needed = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    missing = sorted(needed - set(table))
    if extra or missing:
        raise DataError(
            f"{path}: {kind.__name__} lacks {missing or 'nothing'} and has unknown {extra or 'nothing'}; "
            f"known fields: {', '.join(known)}."
        )
    return kind(**table)
