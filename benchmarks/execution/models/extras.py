"""Extras of pyproject.toml: packages that some predictors need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.errors import Unsupported


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Turn a missing package into `Unsupported` with the command that installs the extra; "" leaves the error as it is."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not extra:
            raise
        raise Unsupported(
            f"{error.name} is not installed; in the checkout, run: python -m pip install -e '.[{extra}]'"
        ) from error
