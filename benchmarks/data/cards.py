"""Cards: what is known of a data set or an annotation before it is read (`datasets/<name>/card.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from benchmarks.data.space_names import Space
from benchmarks.errors import DataError, UnknownName

_PACKAGED = Path(__file__).parents[1] / "_datasets"
DATASETS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "datasets"
"""Folder of the data sets: inside the installed wheel, or at the top of a checkout."""
_ONLY_THESE = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_ONLY_THESE)
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


@dataclass(frozen=True, config=_ONLY_THESE)
class AnnotationCard:
    """Where a gene annotation comes from; the first of `files` that can be had is used."""

    name: str
    title: str
    licence: str
    citation: str
    homepage: str = ""
    files: tuple[SourceFile, ...] = ()


@dataclass(frozen=True, config=_ONLY_THESE)
class NamedSet:
    """Perturbations of a data set that are tested together, in its own names."""

    summary: str
    perturbations: tuple[str, ...]
    contexts: tuple[str, ...] = ()
    """Tested in these contexts only; empty: in all."""


@dataclass(frozen=True, config=_ONLY_THESE)
class Card:
    """A data set's identity."""

    name: str
    title: str
    source: Literal["real", "simulated"]
    """Travels with every number made from the data."""
    perturbation_type: str
    space: Space
    """Expression space of the values as they come."""
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


AnyCard = TypeVar("AnyCard", Card, AnnotationCard)


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
    return _read(Card, name, root or DATASETS)


def read_annotation_card(name: str) -> AnnotationCard:
    """Read the card of a gene annotation; raises as `read_card`."""
    return _read(AnnotationCard, name, DATASETS)


def _read(kind: type[AnyCard], name: str, root: Path) -> AnyCard:
    path = root / name / "card.toml"
    if not path.is_file():
        raise UnknownName("data set", name, available())
    try:
        card = TypeAdapter(kind).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DataError(f"{path}: {wrong}.") from error
    except (ValueError, RecursionError, OSError) as error:  # not UTF-8, not TOML, or nested too deeply
        raise DataError(f"{path}: not valid TOML: {error}.") from error
    if card.name != name:
        raise DataError(f"{path}: name is '{card.name}'; expected the folder's name, '{name}'.")
    return card
