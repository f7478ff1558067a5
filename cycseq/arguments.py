"""Arguments of the wrong kind, refused where they are given: each check says what came, what was expected and what to do."""

from __future__ import annotations

from numbers import Integral, Real
from pathlib import Path

from anndata import AnnData

from cycseq.errors import ConfigError, DataError


def check_whole(name: str, given: object, least: int) -> int:
    """Return a whole number of at least `least`; raises `ConfigError` for anything else, 2.0 included."""
    if not isinstance(given, Integral) or isinstance(given, bool) or int(given) < least:
        raise ConfigError(f"{name} is {given!r}; expected a whole number of at least {least}.")
    return int(given)


def check_number(name: str, given: object) -> None:
    """Raise `ConfigError` for what is not a number."""
    if not isinstance(given, Real) or isinstance(given, bool):
        raise ConfigError(f"{name} is {given!r}; expected a number.")


def check_cells(given: object) -> AnnData:
    """Return cells that have an expression matrix and whose columns can be told apart.

    Raises
    ------
    DataError
        Not an AnnData, an AnnData without X, or with a column of obs twice.
    """
    if not isinstance(given, AnnData):
        raise DataError(
            f"The cells are given as {type(given).__name__}; expected an AnnData, as anndata.read_h5ad reads."
        )
    if given.X is None:
        raise DataError(
            "The cells have no X; expected log2 expression there. If a layer has it: adata.X = adata.layers[…]."
        )
    twice = sorted(set(given.obs.columns[given.obs.columns.duplicated()]))
    if twice:
        raise DataError(
            f"obs has the column(s) {', '.join(map(str, twice))} twice; expected one of each. Drop the other."
        )
    return given


def check_text(name: str, given: object) -> str:
    """Return a name; raises `DataError` for what is not text, or is empty."""
    if not isinstance(given, str) or not given.strip():
        raise DataError(f"{name} is {given!r}; expected a name, as text.")
    return given


def check_place(path: str | Path, *, folder: bool = False) -> Path:
    """Return the path of a file (or `folder`) to be written, before hours are spent on what goes there.

    Raises
    ------
    ConfigError
        The folder it would lie in does not exist, or a folder is where the file would be.
    """
    found = Path(path)
    if not found.absolute().parent.is_dir():
        raise ConfigError(f"'{path}' cannot be written: there is no folder '{found.parent}'. Make it first.")
    if found.is_dir() and not folder:
        raise ConfigError(f"'{path}' is a folder; expected the path of a file to write.")
    return found
