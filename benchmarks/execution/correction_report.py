"""What integration did in a run: parameters, surviving effects and confounding of every fold, on disk."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.data.store import atomic_files
from benchmarks.execution.plan import Plan
from benchmarks.scoring.surviving_effects import summary, surviving_effects
from benchmarks.seeds import derive
from benchmarks.tasks.batch_correction.batches import Method, confounding
from benchmarks.tasks.batch_correction.combat import Combat
from benchmarks.tasks.splits import Split


def write_integration(folder: Path, plan: Plan) -> None:
    """Estimate and keep every fold's parameters, and say what they do to the data; nothing without integration.

    Writes `integration/<protocol>-fold<k>.npz` (parameters), `integration/effects.csv` (every condition before and after),
    `integration/batches.csv` (what each batch's effect can be told from) and, last, `integration/README.md` (in words). A run that is resumed
    keeps what it has.

    Raises
    ------
    StoreError
        The disk refuses.
    """
    wish, notes = plan.integration, folder / "integration" / "README.md"
    if wish is None or (notes.is_file() and all(wish.path(folder, fold).is_file() for fold in plan.splits)):
        return
    effects, batches, words = [], [], []
    for fold in plan.splits:
        parameters = wish.prepare(folder, fold, plan.cells)
        after = plan.cells_of(fold, folder)
        seed = derive(plan.question.base_seed, "integration", fold.fold)
        table = surviving_effects(plan.cells, after, fold.train, seed=seed)
        train = plan.cells.obs.iloc[fold.train]
        batch = wish.batches(train)
        told = confounding(train, batch, wish.reference).reset_index()
        effects.append(table.assign(fold=fold.fold))
        batches.append(told.assign(fold=fold.fold))
        words.append(f"## Fold {fold.fold}\n\n{_words(wish.method, fold, table, told, parameters)}\n")
    for name, tables in (("effects", effects), ("batches", batches)):
        with atomic_files.atomic(folder / "integration" / f"{name}.csv") as handle:
            handle.write(pd.concat(tables, ignore_index=True).to_csv(index=False, float_format="%.10g").encode())
    with atomic_files.atomic(notes) as handle:
        handle.write("\n".join(words).encode())


def _words(method: Method, fold: Split, effects: pd.DataFrame, batches: pd.DataFrame, parameters: Combat) -> str:
    """Everything a reader of the tables must know of one fold."""
    nested = batches[~batches["separable"]]
    told = (
        f"{len(nested)} of {len(batches)} batches share no context, directly or by a chain of others, with the reference: "
        "their batch effect cannot be told from that of their context, and both were taken away."
        if len(nested)
        else "Every batch effect can be told from those of the contexts."
    )
    untouched = len(parameters.untouched)
    return "\n\n".join(
        (
            summary(effects, method),
            f"Estimated from {len(fold.train)} training cells; reference: {parameters.reference}. {told}",
            f"{untouched} of {len(parameters.genes)} genes do not vary in the reference and were left as they come."
            if untouched
            else "All genes vary in the reference.",
        )
    )
