"""A small finished run, made once: a screen with strong effects, as a user's own file, with simple models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.data.own_file import OwnFile
from benchmarks.execution.executor import Execution
from benchmarks.execution.plan import make_plan
from benchmarks.execution.runner import run
from benchmarks.tasks.question import Question
from tests.unit.benchmarks.scoring.screens import screen


@pytest.fixture(scope="session")
def small_run(make_shared: Callable[..., Path]) -> Path:
    """Folder of a run: two contexts × four perturbations of 60 genes, both directions."""
    return make_shared("small_run", _run_small) / "run"


def _run_small(home: Path) -> None:
    cells = screen(n_cells=40, n_controls=90)
    cells.obs = cells.obs.drop(columns="is_control")
    cells.write_h5ad(home / "toy.h5ad")
    blocks = {f"G{gene}": [f"block{gene // 14}"] for gene in range(56)}  # the genes that each perturbation raises
    (home / "blocks.json").write_text(json.dumps(blocks))
    own = OwnFile(home / "toy.h5ad", context="context", values="log2", source="simulated")
    plan = make_plan(
        Question(suite="own", own=own, models=("context_transfer",), folds=2, annotation=home / "blocks.json")
    )
    run(plan, home / "run", Execution(figures=False, keep_predictions=True))
