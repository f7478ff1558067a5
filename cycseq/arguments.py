"""Checks of arguments: errors say what was given, what was expected and which option helps."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from anndata import AnnData

from cycseq.errors import ConfigError, DataError


def check_whole(name: str, given: object, least: int) -> int:
    """Return a whole number of at least `least`; raises `ConfigError` for anything else, 2.0 included."""
    if not isinstance(given, Integral) or isinstance(given, bool) or int(given) < least:
        raise ConfigError(f"{name} is {given!r}; expected a whole number of at least {least}.")
    return int(given)


def check_choice(name: str, given: object, choices: Any) -> None:
    """Raise `ConfigError` for what is not among the values of a `Literal`."""
    if given not in get_args(choices):
        raise ConfigError(f"{name} is {given!r}; expected one of {', '.join(map(repr, get_args(choices)))}.")


def check_cells(given: object) -> AnnData:
    """Return the cells; raises `DataError` for what is no AnnData, has no X, or has a column of obs twice."""
    if not isinstance(given, AnnData):
        raise DataError(f"The cells are given as {type(given).__name__}; expected an AnnData.")
    if given.X is None:
        raise DataError("The cells have no X; expected log2 expression. If a layer has it: adata.X = adata.layers[…].")
    twice = sorted(set(given.obs.columns[given.obs.columns.duplicated()]))
    if twice:
        raise DataError(f"obs has the column(s) {', '.join(map(str, twice))} twice; expected one of each.")
    return given


def check_text(name: str, given: object) -> str:
    """Return a name; raises `DataError` for what is not text, or is empty."""
    if not isinstance(given, str) or not given.strip():
        raise DataError(f"{name} is {given!r}; expected a name, as text.")
    return given


def check_place(path: str | Path, *, folder: bool = False) -> Path:
    """Return the path of a file (or `folder`) to be written; raises `ConfigError` if that will not be possible."""
    found = Path(path)
    if not found.absolute().parent.is_dir():
        raise ConfigError(f"'{path}' cannot be written: there is no folder '{found.parent}'. Make it first.")
    if found.is_dir() and not folder:
        raise ConfigError(f"'{path}' is a folder; expected the path of a file to write.")
    return found
