"""Expression spaces: one per run, the same for every model. Every step here looks at one cell at a time."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import numpy as np
import scipy.sparse as sp

from benchmarks.data.cell_table import CellTable, View
from benchmarks.errors import DataError

SpaceChoice = Literal["cp10k", "raw"]
TARGET_SUM = 10_000.0


def space_name(source: str, choice: SpaceChoice = "cp10k") -> str:
    """Name the space that cells in space `source` are brought into.

    "log2_cp10k", "log2_raw", "log2_upstream" (values normalised by the data set's authors: natural logs are divided by ln 2
    and never renormalised) or "zscore". Raises `DataError` where "raw" is asked for data that do not come as counts.
    """
    if choice == "raw" and source != "counts":
        raise DataError(f"Space 'raw' needs counts; these data come as '{source}'. Leave --space at 'cp10k'.")
    return {"ln": "log2_upstream", "log2": "log2_upstream", "zscore": "zscore"}.get(source, f"log2_{choice}")


def to_space(cells: CellTable, source: str, choice: SpaceChoice = "cp10k") -> tuple[View, str]:
    """Bring canonical cells, whose X is in space `source`, into the run's expression space, as they are read.

    Parameters
    ----------
    choice
        What counts become: "cp10k", scaled to 10,000 per cell, log2(x + 1); "raw", log2(count + 1) as section 2.2 of the
        CycSeq paper has it.

    Returns
    -------
    View, str
        The cells and the name of their space, see `space_name`.

    Raises
    ------
    DataError
        "raw" was asked for data that do not come as counts.
    """
    name = space_name(source, choice)
    change = partial(_convert, source=source, choice=choice)
    return View(cells, cells.obs, np.arange(len(cells.obs)), change=change), name


def _convert(x: sp.csr_matrix, _: np.ndarray, source: str, choice: SpaceChoice) -> sp.csr_matrix:
    return convert(sp.csr_matrix(x, dtype=np.float32), source, choice)


def convert(x: sp.csr_matrix, source: str, choice: SpaceChoice = "cp10k") -> sp.csr_matrix:
    """Bring the values of some cells [cell, gene] into the run's units, in place; see `to_space`.

    Raises `DataError` for cells without any count, which cannot be scaled.
    """
    if source == "ln":
        x.data /= math.log(2)
    elif source == "counts":
        if choice == "cp10k":
            totals = np.asarray(x.sum(axis=1, dtype=np.float64)).ravel()
            if (totals == 0).any():
                raise DataError(
                    f"{int((totals == 0).sum())} cells have no count in these {x.shape[1]} genes and cannot be scaled; "
                    "leave them out."
                )
            x.data *= np.repeat(TARGET_SUM / totals, np.diff(x.indptr)).astype(np.float32)
        x.data = np.log2(x.data + 1)
    return x
