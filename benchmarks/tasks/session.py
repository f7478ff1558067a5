"""What a question names that only this process has: models and cells that were given as objects, in a notebook say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anndata import AnnData

from benchmarks.contract import Baseline


@dataclass(frozen=True, eq=False)
class Session:
    """Objects beside a question; they are in no manifest, and no other process can make the plan again without them."""

    models: tuple[Baseline, ...] = ()
    """Models that may be named beside those of the registry."""
    cells: AnnData | None = None
    """Cells in place of the file that `Question.own` names; they are not changed."""
    store: Path | None = None
    """Folder that the prepared cells are written to; None: the cache."""


EMPTY = Session()
"""No object: everything that a question names is in files."""
