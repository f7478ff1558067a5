"""Mean changes of the training perturbations, which most simple predictors are made of."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.contract import CONTROL, Prediction, Query, Train


def group_means(train: Train) -> pd.DataFrame:
    """Mean profile of every training condition: rows (context, perturbation), columns genes, float64."""
    labels = pd.MultiIndex.from_frame(train.cells.obs[["context", "perturbation"]].astype(str))
    codes, groups = pd.factorize(labels, sort=True)
    counts = np.bincount(codes)
    weights = sp.csr_matrix((1.0 / counts[codes], (codes, np.arange(len(codes)))))
    index = pd.MultiIndex.from_tuples(list(groups), names=["context", "perturbation"])
    return pd.DataFrame(
        (weights @ train.cells.X.astype(np.float64)).toarray(), index=index, columns=train.cells.var_names
    )


def effects(train: Train) -> pd.DataFrame:
    """Change of each training perturbation from the training controls of its context.

    Returns
    -------
    pd.DataFrame
        Rows (context, perturbation), columns genes; contexts without training controls are left out.
    """
    means = group_means(train)
    controls = means.xs(CONTROL, level="perturbation")
    perturbed = means.drop(index=CONTROL, level="perturbation")
    perturbed = perturbed[perturbed.index.get_level_values("context").isin(controls.index)]
    return perturbed - controls.loc[perturbed.index.get_level_values("context")].to_numpy()


def shifted(query: Query, effect: np.ndarray, note: str = "") -> Prediction:
    """Predict the input cells moved by an effect: added for n2p, taken away for p2n."""
    sign = 1.0 if query.direction == "n2p" else -1.0
    return Prediction(query.cells.X.toarray() + sign * effect, unit="cell", note=note)


def mean_effect_of(context: str, table: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Mean effect of a context's training perturbations; of all contexts where it has none, said in the note."""
    if context in table.index.get_level_values("context"):
        return table.xs(context, level="context").mean(axis=0).to_numpy(), ""
    by_context: Callable = table.groupby(level="context").mean
    return by_context().mean(axis=0).to_numpy(), f"no training perturbation in {context}: mean of all contexts"
