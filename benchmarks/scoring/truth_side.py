"""What is known of a fold before any model is scored: the summary of the truth, and the scores of references.

It depends on the data, the split and the code of the metrics alone, and costs more than scoring a model. So it is computed
once, shared by all models, and kept on disk under a hash of what it depends on.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pickle import UnpicklingError

import joblib
import numpy as np
import pandas as pd

from benchmarks.data.store.atomic_files import atomic
from benchmarks.scoring.evaluate import Values
from benchmarks.scoring.references import planted, references
from benchmarks.scoring.scored_fold import ScoredFold
from benchmarks.scoring.summaries import TruthSummary, summarise_truth

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TruthSide:
    """What every model of one fold and direction is compared with."""

    truth: TruthSummary
    references: Mapping[str, Values]
    """Reference → its scores; empty without calibration."""
    planted: pd.DataFrame
    """Scores of the planted predictors; empty without calibration."""


def truth_side_of(
    fold: ScoredFold,
    expectation: np.ndarray | None = None,
    *,
    calibrate: bool = True,
    folder: Path | None = None,
    depends_on: str = "",
) -> TruthSide:
    """Summarise the truth and score references and planted predictors, or read what was kept of that.

    Parameters
    ----------
    expectation
        Noise-free mean profiles of simulated data [condition, gene].
    calibrate
        Whether references and planted predictors are scored.
    folder
        Where results are kept; None keeps none.
    depends_on
        Hash of the cells, the training cells and the split.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    if folder is None:
        return _make(fold, expectation, calibrate)
    parts = (depends_on, fold.direction, str(fold.seed), str(calibrate), str(fold.linear), code_hash())
    path = folder / f"{hashlib.sha256('/'.join(parts).encode()).hexdigest()}.joblib"
    try:
        return joblib.load(path)
    except FileNotFoundError:
        pass
    except (OSError, EOFError, ValueError, KeyError, AttributeError, ImportError, UnpicklingError) as error:
        log.warning("%s cannot be read (%s); it is computed again.", path, type(error).__name__)
    made = _make(fold, expectation, calibrate)
    with atomic(path) as handle:
        joblib.dump(made, handle)
    return made


@cache
def code_hash() -> str:
    """Hash the code that scores, so that results of other code are never reused."""
    hasher = hashlib.sha256()
    here = Path(__file__).parent
    for source in (*sorted((here / "metrics").glob("*.py")), *sorted(here.glob("*.py"))):
        hasher.update(source.read_bytes())
    return hasher.hexdigest()


def _make(fold: ScoredFold, expectation: np.ndarray | None, calibrate: bool) -> TruthSide:
    truth = summarise_truth(fold)
    if not calibrate:
        return TruthSide(truth, {}, pd.DataFrame())
    return TruthSide(truth, dict(references(fold, truth, expectation)), planted(fold, truth))
