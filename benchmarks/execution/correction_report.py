"""Batch correction of a run on disk: parameters of every fold, surviving effects, and what is confounded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.data.store.atomic_files import atomic, write_csv
from benchmarks.errors import DataError
from benchmarks.execution.plan import Plan
from benchmarks.scoring.surviving_effects import summary, surviving_effects
from benchmarks.seeds import derive
from benchmarks.tasks.batch_correction.batches import Method, confounding
from benchmarks.tasks.batch_correction.combat import Combat
from benchmarks.tasks.splits import Split


def write_integration(folder: Path, plan: Plan) -> None:
    """Estimate every fold's parameters and report what they do to the data; nothing without batch correction.

    Writes `integration/<protocol>-fold<k>.npz` (parameters), `integration/effects.csv` (every condition before and after),
    `integration/batches.csv` (which batches are separable from contexts) and, last, `integration/README.md`. A resumed run
    keeps what it has.
    """
    method, page = plan.integration, folder / "integration" / "README.md"
    if method is None or (page.is_file() and all(_is_whole(method.path(folder, fold)) for fold in plan.splits)):
        return
    effects, batches, sections = [], [], []
    for fold in plan.splits:
        parameters = method.prepare(folder, fold, plan.cells)
        seed = derive(plan.question.base_seed, "integration", fold.fold)
        effect = surviving_effects(plan.cells, plan.cells_of(fold, folder), fold.train, seed=seed)
        train = plan.cells.obs.iloc[fold.train]
        confounded = confounding(train, method.batches(train), method.reference).reset_index()
        effects.append(effect.assign(fold=fold.fold))
        batches.append(confounded.assign(fold=fold.fold))
        sections.append(f"## Fold {fold.fold}\n\n{_describe(method.method, fold, effect, confounded, parameters)}\n")
    write_csv(pd.concat(effects, ignore_index=True), folder / "integration" / "effects.csv")
    write_csv(pd.concat(batches, ignore_index=True), folder / "integration" / "batches.csv")
    with atomic(page) as handle:
        handle.write("\n".join(sections).encode())


def _is_whole(path: Path) -> bool:
    """Say whether the parameters of a fold are there as they were written; else they are estimated again."""
    try:
        Combat.load(path)
    except DataError:
        return False
    return True


def _describe(method: Method, fold: Split, effects: pd.DataFrame, batches: pd.DataFrame, parameters: Combat) -> str:
    """Describe the correction of one fold in words."""
    nested, untouched = int((~batches["separable"]).sum()), len(parameters.untouched)
    separable = "Every batch effect can be separated from those of the contexts."
    if nested:
        separable = (
            f"{nested} of {len(batches)} batches share no context, directly or by a chain of others, with the reference: "
            "their batch effect cannot be separated from that of their context, and both were removed."
        )
    genes = "All genes vary in the reference."
    if untouched:
        genes = f"{untouched} of {len(parameters.genes)} genes do not vary in the reference and were left as they are."
    source = f"Estimated from {len(fold.train)} training cells; reference: {parameters.reference}. {separable}"
    return "\n\n".join((summary(effects, method), source, genes))
