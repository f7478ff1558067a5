"""Simulated files in the form of upstream files: a folder that has them says so, and their cells never count as real.

A data folder may have a file `simulated.json`, an object of file name → {"sha256": ..., "size": ...}. A data set of which a file is
named there is read from these files, and its card says "simulated", whatever the data set's own card says.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from benchmarks.data import cards
from benchmarks.data.cards import Card
from benchmarks.data.download import data_folders
from benchmarks.errors import DataError

LIST = "simulated.json"
NOTE = "SIMULATED: files made up in the upstream form; no measured value is in them, and no number says anything of the real data."


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class StandIn:
    """A simulated file."""

    sha256: str
    size: int


_LISTED = TypeAdapter(dict[str, StandIn])


def find_card(name: str, data_dir: Path | None = None) -> Card:
    """Read the card of a data set; of simulated files where a data folder says that it has such.

    Parameters
    ----------
    data_dir
        Folder with local copies of data files; `CYCSEQ_DATA` is looked at after it.

    Raises
    ------
    UnknownName, DataError, DownloadError
        No such data set; a card or a list that cannot be used; a data folder that does not exist.
    """
    card = cards.read_card(name)
    for folder in data_folders(data_dir) if card.files else ():
        listed = read_list(folder)
        if any(file.filename in listed for file in card.files):
            return _simulated(card, listed)
    return card


def read_list(folder: Path) -> dict[str, StandIn]:
    """Read which files of a folder are simulated: file name → digest and size; raises `DataError`."""
    path = folder / LIST
    try:
        return _LISTED.validate_json(path.read_bytes()) if path.is_file() else {}
    except (ValidationError, OSError) as error:
        raise DataError(
            f'{path} cannot be used ({error}); expected an object of file name → {{"sha256": ..., "size": ...}}.'
        ) from error


def write_list(folder: Path, files: dict[str, StandIn]) -> None:
    """Say that files of a folder are simulated, beside those of which this is said already."""
    (folder / LIST).write_bytes(_LISTED.dump_json(read_list(folder) | files, indent=1))


def _simulated(card: Card, listed: dict[str, StandIn]) -> Card:
    files = tuple(
        replace(file, url="", where="It is simulated: make it again.", sha256=found.sha256, size=found.size)
        if (found := listed.get(file.filename))
        else file
        for file in card.files
    )
    return replace(
        card,
        source="simulated",
        title=f"{card.title}: simulated files in this form",
        licence="as this project; no measured value is in it",
        citation=f"None: simulated. Form of the files after {card.citation}",
        annotation="",
        notes=(NOTE,),
        files=files,
    )
