"""True and predicted changes of single genes, for people to look at: the genes that matter most in every condition.

The table is bounded (`MOST_NUMBERS`), whatever the size of the screen; all genes are in the mean profiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.errors import StoreError
from benchmarks.execution.prediction_store import Outcome, PredictionSet, get_outcome
from benchmarks.execution.score_store import check_means, open_means
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.scored_set import Profiles
from reports.tables import CHANGE_COLUMNS, PREDICTED

MOST_NUMBERS = 800_000
"""Numbers that the table of a run holds in all, about."""
FEWEST_GENES = 30
"""Genes of a condition that are kept in any case."""


def genes_of_condition(n_conditions: int, n_models: int) -> int:
    """Choose how many genes of each condition are kept, by the number of conditions of all folds and directions."""
    return max(FEWEST_GENES, MOST_NUMBERS // max(1, n_conditions * (n_models + 1)))


def gene_changes(
    fold: ScoredFold, truth: Profiles, outcomes: Mapping[PredictionSet, Outcome], folder: Path, most: int
) -> pd.DataFrame:
    """Lay out the changes of at most so many genes of each condition, first seeds only.

    Kept are the perturbed genes, those of largest true change, those of largest change that some model predicts, and others at
    random, so that neither side alone says what is seen.

    Parameters
    ----------
    fold, truth
        All conditions of a fold and direction, and their mean profiles.
    outcomes
        Outcome of every set of predictions of the fold and direction, in the folder of a run.

    Returns
    -------
    DataFrame
        Columns of `CHANGE_COLUMNS` but protocol, direction and fold, then one a model: the mean change from R of the truth and
        from I of the prediction, in the run's space; NaN where a model has no prediction.
    """
    first = {entry.model: entry for entry in outcomes if entry.seed == 0}
    genes = fold.cells.var_names.to_numpy()
    with ExitStack() as stack:
        means = {
            model: stack.enter_context(open_means(entry.folder(folder)))
            for model, entry in first.items()
            if _usable(entry.folder(folder), outcomes[entry])
        }
        parts = []
        for number in range(len(fold)):
            one = fold.part([number])
            start = one.start[0]
            true = truth[number] - one.reference[0]
            changes = {
                model: means[model][number] - start
                if model in means and outcomes[entry].endings[number].status == "ok"
                else np.full(len(genes), np.nan)
                for model, entry in first.items()
            }
            predicted = np.array(list(changes.values())).reshape(len(changes), len(genes))
            own = fold.perturbed_genes(number)
            kept = np.array(list(_chosen(true, predicted, own, most, fold.generator(number, "genes to show"))))
            about = {name: column[number] for name, column in fold.labels().items()}
            columns = {"gene": genes[kept], "perturbed": np.isin(kept, own), "true": true[kept].round(5)}
            columns |= {f"{PREDICTED}{model}": change[kept].round(5) for model, change in changes.items()}
            parts.append(pd.DataFrame(columns).assign(**about))
    names = [name for name in CHANGE_COLUMNS if name not in ("protocol", "direction", "fold")]
    return pd.concat(parts, ignore_index=True)[[*names, *(f"{PREDICTED}{model}" for model in first)]]


def _usable(folder: Path, outcome: Outcome) -> bool:
    """Say whether a set has mean profiles that are as they were written; damaged ones are failed in the scores."""
    if all(ending.status != "ok" for ending in outcome.endings):
        return False
    try:
        check_means(folder, get_outcome(folder) or outcome)  # it may have been scored again just now
    except StoreError:
        return False
    return True


def _chosen(
    true: np.ndarray, predicted: np.ndarray, own: np.ndarray, most: int, generator: np.random.Generator
) -> Iterator[int]:
    """Yield columns of genes, at most so many (and all perturbed ones), each once."""
    predicted = np.abs(np.nan_to_num(predicted)).max(axis=0, initial=0.0)
    by_truth, by_models = np.argsort(-np.abs(true), kind="stable"), np.argsort(-predicted, kind="stable")
    chosen = dict.fromkeys(own.tolist())
    for share, order in ((0.5, by_truth), (0.75, by_models), (1.0, generator.permutation(len(true)))):
        for column in order.tolist():
            if len(chosen) >= share * most:
                break
            chosen[column] = None
    yield from chosen
