"""What scoring the folds of a run takes, made once in a process and shared by its units of work and its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

from benchmarks.contract import Direction
from benchmarks.execution.ledger import is_trusted, watch_file
from benchmarks.execution.plan import Plan
from benchmarks.scoring.cell_sets import Recent
from benchmarks.scoring.references import Expectation, expected_profiles
from benchmarks.scoring.scored_fold import scored_fold_of
from benchmarks.scoring.scored_set import BlockedFold, KeptFiles
from benchmarks.scoring.training_summary import Components, TrainingSummary, find_components, summarise_training
from benchmarks.tasks.splits import Split


@dataclass(frozen=True)
class FoldScoring:
    """Folds of a plan as they are scored; summaries of the truth are kept in the run's folder."""

    plan: Plan
    folder: Path
    threads: int = 1
    """Conditions scored at a time."""
    _folds: dict[tuple[int, Direction], BlockedFold] = field(default_factory=dict)
    _training: dict[int, TrainingSummary] = field(default_factory=dict)
    _recent: Recent = field(default_factory=Recent)
    _lock: Lock = field(default_factory=Lock)

    def of(self, split: Split, direction: Direction) -> BlockedFold:
        """Describe a fold and direction; the training cells are summarised when the first of a fold is asked for."""
        with self._lock:
            if (split.fold, direction) not in self._folds:
                self._folds[split.fold, direction] = self._describe(split, direction)
            return self._folds[split.fold, direction]

    def expectation(self) -> Expectation | None:
        """Return the simulator's noise-free profiles, in the space that they are in; None where there are none."""
        plan = self.plan
        if plan.dataset.expectation is None or plan.space != "log2_cp10k":
            return None
        arm = str(plan.cells.obs["arm"].iloc[0])
        return partial(expected_profiles, plan.dataset.expectation, arm=arm)

    def _describe(self, split: Split, direction: Direction) -> BlockedFold:
        plan, seed = self.plan, self.plan.seed_of(split)
        cells = plan.cells_of(split, self.folder)
        depends_on = f"{plan.cells_digest}/{plan.split_digests[split.fold]}/{plan.integration}"
        kept = KeptFiles(self.folder / "truth", depends_on, is_trusted, watch_file)
        if split.fold not in self._training:
            components = kept.get(f"components/{seed}", lambda: find_components(cells, split.train, seed), Components)
            statistics = plan.statistics_of(split, self.folder, cells)
            self._training[split.fold] = summarise_training(
                cells, split.train, seed, split.conditions, statistics, components
            )
        fold = scored_fold_of(
            cells,
            split,
            direction,
            self._training[split.fold],
            space=plan.space,
            seed=seed,
            threads=self.threads,
            recent=self._recent,
        )
        return BlockedFold(fold, kept)
