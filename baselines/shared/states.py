"""States of cells (perturbation and dose) for models that represent each state by a label."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.contract import CONTROL, Query
from benchmarks.errors import Unsupported


def cell_states(obs: pd.DataFrame) -> pd.Series:
    """Name each cell's state [cell]: its perturbation, with the dose where there is one; "control" for controls."""
    names = obs["perturbation"].astype(str)
    if "dose" not in obs:
        return names
    return pd.Series([_state(p, d) for p, d in zip(names, obs["dose"], strict=True)], index=obs.index)


def start_and_end(query: Query, model: str) -> tuple[str, str]:
    """States of the query's cells and of its target, from the labels of the cells or else the direction.

    Raises
    ------
    Unsupported
        The input cells are in several states, or in the target state.
    """
    start, end = (_state(query.perturbation, dose) for dose in (query.start_dose, query.dose))
    if query.direction == "p2n":
        end = CONTROL
    elif query.start_dose is None:
        start = CONTROL
    if "perturbation" in query.cells.obs:
        states = cell_states(query.cells.obs).unique()
        if len(states) != 1:
            raise Unsupported(f"{model} takes input cells of one state; these are {', '.join(sorted(states))}.")
        start = str(states[0])
    if start == end:
        raise Unsupported(f"{model} needs two states; input and target are both '{start}'.")
    return start, end


def contexts_with_both(seen: pd.DataFrame, start: str, end: str, model: str) -> list[str]:
    """List the contexts that have training cells in both states, sorted.

    Parameters
    ----------
    seen
        Columns `state` and `context` of the training cells, or of their groups.
    start, end
        States.
    model
        Its name, for the message.

    Raises
    ------
    Unsupported
        A state has no training cell, or no context has both.
    """
    contexts = {state: set(seen.loc[seen["state"] == state, "context"]) for state in (start, end)}
    for state, found in contexts.items():
        if not found:
            raise Unsupported(f"{model} knows only states it was trained on; no training cell is '{state}'.")
    both = contexts[start] & contexts[end]
    if not both:
        raise Unsupported(
            f"{model} takes the change from contexts with training cells in both states; no context has both "
            f"'{start}' and '{end}'."
        )
    return sorted(both)


def _state(perturbation: str, dose: float | None) -> str:
    if dose is None or np.isnan(dose) or perturbation == CONTROL:
        return perturbation
    return f"{perturbation} at {float(dose)} nM"
