"""A training with everything that its outcome depends on, resolved once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contract import Baseline
from benchmarks.execution.prediction_store import PredictionSet, get_outcome


@dataclass(frozen=True)
class RunSpec:
    """One training in one fold, and the sets of predictions that it serves."""

    key: str
    """Content hash of data, split, settings and seed: two trainings with the same key have the same outcome."""
    record: Baseline
    fold: int
    seed: int
    """What `fit` gets."""
    settings: Mapping[str, object]
    budget: str
    """"quick" where a setting lies below the authors' own training length, else "full"."""
    sets: tuple[PredictionSet, ...]

    @property
    def name(self) -> str:
        """Models, directions, fold and seed, for progress and messages."""
        models = " + ".join(dict.fromkeys(s.model for s in self.sets))
        directions = ", ".join(dict.fromkeys(s.direction for s in self.sets))
        return f"{models} ({directions}), fold {self.fold}, seed {self.sets[0].seed}"

    def fitted(self, run: Path) -> Path:
        """Folder of the trained predictor, where it can be saved."""
        return run / "fitted" / f"{self.record.name}-{self.key[:16]}"

    def due(self, run: Path) -> list[PredictionSet]:
        """Sets that have no outcome of this key yet, or one with failures."""
        found = {s: get_outcome(s.folder(run)) for s in self.sets}
        return [s for s, outcome in found.items() if outcome is None or outcome.key != self.key or outcome.failed]


def budget_of(record: Baseline, settings: Mapping[str, object]) -> str:
    """Return "quick" where any setting lies below the authors' own training length, else "full"."""
    given = {name: settings.get(name) for name in record.full_training}
    short = [n for n, value in given.items() if isinstance(value, int | float) and value < record.full_training[n]]
    return "quick" if short else "full"
