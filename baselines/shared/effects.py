"""Mean changes of the training perturbations, on which most simple predictors are built."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.contract import CONTROL, Prediction, Query, Train
from benchmarks.errors import Unsupported

LEVELS = ["context", "perturbation", "dose"]


def group_means(train: Train) -> pd.DataFrame:
    """Mean profile of every training condition: rows `LEVELS` (dose in nM, 0 for none), columns genes, float64."""
    obs = train.cells.obs
    labels = pd.DataFrame({name: obs[name].astype(str) for name in LEVELS[:2]})
    labels["dose"] = obs["dose"].fillna(0.0).astype(float)
    codes, groups = pd.factorize(pd.MultiIndex.from_frame(labels), sort=True)
    counts = np.bincount(codes)
    weights = sp.csr_matrix((1.0 / counts[codes], (codes, np.arange(len(codes)))))
    index = pd.MultiIndex.from_tuples(list(groups), names=LEVELS)
    return pd.DataFrame(
        (weights @ train.cells.X.astype(np.float64)).toarray(), index=index, columns=train.cells.var_names
    )


def effects(train: Train) -> pd.DataFrame:
    """Change of each training condition from the training controls of its context.

    Returns
    -------
    pd.DataFrame
        Rows `LEVELS` (dose in nM, 0 for none), columns genes; contexts without training controls are left out.
        `changes` takes the rows of a query's doses.
    """
    means = group_means(train)
    controls = means.xs(CONTROL, level="perturbation").groupby(level="context").first()
    perturbed = means.drop(index=CONTROL, level="perturbation")
    perturbed = perturbed[perturbed.index.get_level_values("context").isin(controls.index)]
    return perturbed - controls.loc[perturbed.index.get_level_values("context")].to_numpy()


def step_of(query: Query) -> tuple[float | None, float | None]:
    """Doses that an effect leads from and to, nM: from the lower dose or the controls (None) to the perturbed cells."""
    return (query.start_dose, query.dose) if query.direction == "n2p" else (query.dose, query.start_dose)


def changes(table: pd.DataFrame, step: tuple[float | None, float | None]) -> pd.DataFrame:
    """Change from one dose to another of each training perturbation that has both.

    Parameters
    ----------
    table
        From `effects`.
    step
        Doses in nM that it leads from and to, as `step_of` gives them; None: from controls, or to perturbed cells without
        a dose.

    Returns
    -------
    pd.DataFrame
        Rows (context, perturbation), columns genes; may have no row.
    """
    start, end = step
    reached = _at(table, end)
    return reached if start is None else (reached - _at(table, start).reindex(reached.index)).dropna()


def _at(table: pd.DataFrame, dose: float | None) -> pd.DataFrame:
    return table[table.index.get_level_values("dose") == (dose or 0.0)].droplevel("dose")


def shifted(query: Query, effect: np.ndarray, note: str = "") -> Prediction:
    """Predict the input cells moved by an effect: added for n2p, taken away for p2n."""
    sign = 1.0 if query.direction == "n2p" else -1.0
    return Prediction(query.cells.X.toarray() + sign * effect, unit="cell", note=note)


def mean_effect_of(context: str, table: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Mean change of a context's training perturbations; of all contexts where it has none, with a note.

    Raises
    ------
    Unsupported
        There is no training perturbation at all.
    """
    if table.empty:
        raise Unsupported("no training perturbation has cells at both doses")
    if context in table.index.get_level_values("context"):
        return table.xs(context, level="context").mean(axis=0).to_numpy(), ""
    contexts = table.groupby(level="context").mean()
    return contexts.mean(axis=0).to_numpy(), f"no training perturbation in {context}: mean of all contexts"
