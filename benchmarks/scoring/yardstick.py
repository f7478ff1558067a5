"""All that is known of a fold before any model is scored: the true side and what its own cells score.

It depends on the data, the split and the code of the metrics alone, and costs more than scoring a model. So it is computed
once, shared by all models, and kept on disk under a hash of what it depends on.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from pickle import UnpicklingError

import joblib
import numpy as np
import pandas as pd

from benchmarks.data.store.atomic_files import atomic
from benchmarks.scoring import metrics
from benchmarks.scoring.comparison import Target, target_of
from benchmarks.scoring.evaluate import Values
from benchmarks.scoring.planted import planted
from benchmarks.scoring.references import references
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.table import Cells

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Yardstick:
    """What every model of one fold and direction is held against."""

    target: Target
    references: Mapping[str, Values]
    """Reference → its scores; empty where nothing was to be calibrated."""
    planted: pd.DataFrame
    """Scores of the planted predictors; empty where nothing was to be calibrated."""


def yardstick_of(
    question: ScoredFold,
    expectation: np.ndarray | None = None,
    *,
    calibrate: bool = True,
    folder: Path | None = None,
    depends_on: str = "",
) -> Yardstick:
    """Summarise the true side and score references and planted predictors, or read what was kept of that.

    Parameters
    ----------
    question
        From `scored_fold_of`.
    expectation
        Noise-free mean profiles of simulated data [condition, gene].
    calibrate
        Whether references and planted predictors are scored.
    folder
        Where yardsticks are kept; None keeps none.
    depends_on
        Hash of the cells, the training cells and the split.

    Raises
    ------
    StoreError
        The disk refuses.
    """
    if folder is None:
        return _make(question, expectation, calibrate)
    parts = (depends_on, question.direction, str(question.seed), str(calibrate), str(question.linear), code_hash())
    path = folder / f"{hashlib.sha256('/'.join(parts).encode()).hexdigest()}.joblib"
    kept = _read(path)
    if kept is not None:
        return replace(kept, target=replace(kept.target, cells_of=question.truth_cells))
    made = _make(question, expectation, calibrate)
    with atomic(path) as handle:
        joblib.dump(replace(made, target=replace(made.target, cells_of=_not_kept)), handle)
    return made


@cache
def code_hash() -> str:
    """Hash the code that scores, so that nothing computed by other code is taken for its result."""
    hasher = hashlib.sha256()
    for package in (Path(metrics.__file__).parent, Path(__file__).parent):
        for source in sorted(package.glob("*.py")):
            hasher.update(source.read_bytes())
    return hasher.hexdigest()


def _make(question: ScoredFold, expectation: np.ndarray | None, calibrate: bool) -> Yardstick:
    target = target_of(question)
    if not calibrate:
        return Yardstick(target, {}, pd.DataFrame())
    return Yardstick(target, dict(references(question, target, expectation)), planted(question, target))


def _not_kept(number: int) -> Cells:
    raise LookupError(f"The true cells of condition {number} are not kept with the yardstick; take them from the data.")


def _read(path: Path) -> Yardstick | None:
    if not path.is_file():
        return None
    try:
        return joblib.load(path)
    except (OSError, EOFError, ValueError, KeyError, AttributeError, ImportError, UnpicklingError) as error:
        log.warning("%s cannot be read (%s); it is computed again.", path, type(error).__name__)
        return None
