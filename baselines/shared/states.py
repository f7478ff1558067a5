"""States of cells (perturbation and dose) for models that represent each state by a label."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL, Query
from benchmarks.errors import Unsupported

if TYPE_CHECKING:
    from anndata import AnnData


def labels_of(obs: pd.DataFrame) -> pd.DataFrame:
    """Name each cell's `state` (its perturbation, with the dose where there is one) and `context`; rows are numbered."""
    states = obs["perturbation"].astype(str).to_numpy()
    if "dose" in obs:
        states = np.array([_state(p, d) for p, d in zip(states, obs["dose"], strict=True)], dtype=object)
    return pd.DataFrame({"state": states, "context": obs["context"].astype(str).to_numpy()})


def labelled_copy(cells: AnnData, labels: pd.DataFrame) -> AnnData:
    """Copy X and labels alone into a new object: scvi writes into what it registers, and allows that only once."""
    from anndata import AnnData

    obs = labels.astype("category").set_index(cells.obs_names.copy())
    return AnnData(cells.X.copy(), obs=obs, var=pd.DataFrame(index=cells.var_names.copy()))


def start_and_end(query: Query) -> tuple[str, str]:
    """States of the query's cells and of its target, from the labels of the cells or else the direction.

    Raises `Unsupported` where the input cells are in several states, or in the target state.
    """
    start, end = (_state(query.perturbation, dose) for dose in (query.start_dose, query.dose))
    if query.direction == "p2n":
        end = CONTROL
    elif query.start_dose is None:
        start = CONTROL
    if "perturbation" in query.cells.obs:
        states = sorted(set(labels_of(query.cells.obs)["state"]))
        if len(states) != 1:
            raise Unsupported(f"input cells have to be of one state; these are {', '.join(states)}.")
        start = states[0]
    if start == end:
        raise Unsupported(f"input and target are both '{start}'; the model needs two states.")
    return start, end


def contexts_with_both(seen: Collection[tuple[str, str]], start: str, end: str) -> list[str]:
    """List the contexts that have training cells in both states, sorted, from all (state, context) of training cells.

    Raises `Unsupported` where a state has no training cell, or no context has both.
    """
    contexts = {state: {context for own, context in seen if own == state} for state in (start, end)}
    for state, found in contexts.items():
        if not found:
            raise Unsupported(f"only states that were trained on are known; no training cell is '{state}'.")
    both = contexts[start] & contexts[end]
    if not both:
        raise Unsupported(
            f"the change is taken from contexts with training cells in both states; no context has both '{start}' and "
            f"'{end}'."
        )
    return sorted(both)


def _state(perturbation: str, dose: float | None) -> str:
    if dose is None or np.isnan(dose) or perturbation == CONTROL:
        return perturbation
    return f"{perturbation} at {float(dose)} nM"
