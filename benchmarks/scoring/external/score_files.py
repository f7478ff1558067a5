"""Scores of prediction files: the same tables a run of the benchmark makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import reports
from benchmarks.contract import CONTROL, Direction, Prediction
from benchmarks.data.schema import Space
from benchmarks.data.store import atomic_files
from benchmarks.data.store.atomic_files import write_csv
from benchmarks.errors import ContractError, DataError
from benchmarks.scoring.comparison import Target, output_of
from benchmarks.scoring.endings import Ending
from benchmarks.scoring.evaluate import evaluate, score_rows
from benchmarks.scoring.external.file_checks import check_controls, check_spaces, shared_genes, split_of
from benchmarks.scoring.external.prediction_files import CellFile, Labels, predict_from, read_cells
from benchmarks.scoring.references import REFERENCES, as_prediction
from benchmarks.scoring.result_tables import condition_facts, metric_table
from benchmarks.scoring.scored_fold import ScoredFold, scored_fold_of
from benchmarks.scoring.training import training_of
from benchmarks.scoring.yardstick import yardstick_of
from benchmarks.tasks.splits import Split
from reports.tables import COST_COLUMNS, SCORE_COLUMNS

TAKEN = {"no_change", "train_mean", *REFERENCES}
"""Names that no prediction file may have."""


@dataclass(frozen=True)
class Wish:
    """What is to be scored, and how."""

    predictions: tuple[Path, ...]
    truth: Path
    train: Path | None = None
    labels: Labels = field(default_factory=Labels)
    space: Space | None = None
    direction: Direction = "n2p"
    genes: str = "all"
    """"all": every file must have the truth's genes; "shared": those that all files have."""
    start: str = ""
    """Where the predicted change starts: "truth" (the truth's input controls), "prediction" (the prediction file's own
    control cells), or "" for the truth's, provided the prediction brings no other controls."""
    source: str = "real"
    calibrate: bool = True
    """Whether to score ceiling, oracle and planted predictors too."""
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Scored:
    """Tables of one scoring, and what a reader must know of it."""

    scores: pd.DataFrame
    planted: pd.DataFrame | None
    conditions: pd.DataFrame
    controls: pd.DataFrame
    """Which control cells were input and which reference."""
    notes: tuple[str, ...]


def score_files(wish: Wish) -> Scored:
    """Score prediction files against a truth file.

    Raises
    ------
    DataError
        Files that cannot be held against each other; the message names the file and what to do.
    """
    names = [p.stem for p in wish.predictions]
    if len(set(names)) < len(names) or TAKEN & set(names):
        raise DataError(
            f"Prediction files are named {', '.join(names)}; give each a name of its own, none of {', '.join(sorted(TAKEN))}."
        )
    if wish.start == "prediction" and wish.direction != "n2p":
        raise DataError("--start prediction needs --direction n2p: in p2n a prediction starts from perturbed cells.")
    truth, outputs, train = _open(wish)
    split, left_out = split_of(truth, wish.seed)
    with threadpool_limits(wish.threads):
        training = training_of(train, np.arange(len(train.obs)), wish.seed) if train else None
        question = scored_fold_of(
            truth, split, wish.direction, training, space=truth.space, seed=wish.seed, threads=wish.threads
        )
        stick = yardstick_of(question, calibrate=wish.calibrate)
        target = stick.target
        tables = [
            _baselines(question, target),
            *(_score(question, target, n, o, wish) for n, o in zip(names, outputs, strict=True)),
        ]
        tables += [
            score_rows(question, target, values, question.endings()).assign(model=name, kind="reference")
            for name, values in stick.references.items()
        ]
    facts = condition_facts(question, target)
    notes = [*left_out, *_notes(question, outputs, train)]
    tasks = [_task(table, wish) for table in (pd.concat(tables, ignore_index=True), facts)]
    scores = tasks[0].assign(seed=0, budget="unknown", audit="not audited")[list(SCORE_COLUMNS)]
    return Scored(
        scores, _task(stick.planted, wish) if wish.calibrate else None, tasks[1], _roles(truth, split), tuple(notes)
    )


def write(scored: Scored, folder: Path, *, figures: bool = True) -> None:
    """Write tables, page and figures; raises `StoreError` if the disk refuses."""
    write_csv(scored.scores, folder / "scores.csv")
    write_csv(scored.conditions, folder / "conditions.csv")
    write_csv(scored.controls, folder / "controls.csv")
    write_csv(pd.DataFrame(columns=list(COST_COLUMNS)), folder / "costs.csv")
    write_csv(metric_table(), folder / "metrics.csv")
    if scored.planted is not None:
        write_csv(scored.planted, folder / "planted.csv")
    atomic_files.write_json(folder / "notes.json", list(scored.notes))
    reports.write_reports(folder, figures=figures)


def _open(wish: Wish) -> tuple[CellFile, list[CellFile], CellFile | None]:
    """Open all files and bring them to the truth's genes."""
    truth = read_cells(wish.truth, wish.labels, wish.space)
    others = [
        read_cells(p, wish.labels, wish.space) for p in (*wish.predictions, *([wish.train] if wish.train else []))
    ]
    genes = shared_genes([truth, *others]) if wish.genes == "shared" else truth.var_names
    truth = truth.with_genes(genes)
    opened = []
    for other in others:
        check_spaces(truth, other)
        opened.append(other.with_genes(genes))
    train = opened.pop() if wish.train else None
    for prediction in opened:
        if not wish.start:
            check_controls(truth, prediction)
    return truth, opened, train


def _baselines(question: ScoredFold, target: Target) -> pd.DataFrame:
    """Score the input itself and, where training cells are known, the mean effect of their perturbations."""

    def copied(number: int) -> Prediction:
        return as_prediction(question.input_cells(number))

    loads: dict[str, Callable[[int], Prediction]] = {"no_change": copied}
    effect = question.mean_effect()
    if effect is not None:
        loads["train_mean"] = lambda number: Prediction(copied(number).values + effect[number], unit="cell")
    return pd.concat(
        [
            score_rows(
                question,
                target,
                evaluate(question, target, output_of(question, target, load, alike=question.setting)),
                question.endings(),
            ).assign(model=name, kind="model")
            for name, load in loads.items()
        ],
        ignore_index=True,
    )


def _score(question: ScoredFold, target: Target, name: str, prediction: CellFile, wish: Wish) -> pd.DataFrame:
    """Score one file; a condition it does not hold, or holds no finite numbers for, is a failure with a reason."""
    endings = question.endings()

    def load(number: int) -> Prediction | None:
        ending = endings[number]
        try:
            found = predict_from(prediction, ending.context, ending.perturbation)
        except (DataError, ContractError) as error:
            endings[number] = Ending(ending.context, ending.perturbation, "failed", str(error))
            return None
        if found is None:
            endings[number] = Ending(
                ending.context, ending.perturbation, "failed", f"no prediction in {prediction.name}"
            )
        return found

    output = output_of(question, target, load)
    start = _own_start(question, prediction) if wish.start == "prediction" else None
    values = evaluate(question, target, output, start=start)
    return score_rows(question, target, values, endings).assign(model=name, kind="model")


def _own_start(question: ScoredFold, prediction: CellFile) -> np.ndarray:
    """Mean profile of the prediction file's own controls, for each condition."""
    means = {}
    for context in sorted(set(question.contexts)):
        own = predict_from(prediction, context, CONTROL)
        if own is None:
            raise DataError(
                f"{prediction.name} has no control cells of context {context}, which --start prediction needs; add them, or "
                "leave --start at truth."
            )
        means[context] = own.mean()
    return np.stack([means[context] for context in question.contexts])


def _notes(question: ScoredFold, outputs: list[CellFile], train: CellFile | None) -> list[str]:
    """Say what a reader of the numbers must know."""
    asked = set(zip(question.contexts, question.perturbations, strict=True))
    notes = []
    for cells in outputs:
        held = set(zip(cells.obs["context"], cells.obs["perturbation"], strict=True)) - {
            (c, CONTROL) for c in cells.obs["context"]
        }
        if held - asked:
            context, perturbation = sorted(held - asked)[0]
            notes.append(
                f"{cells.name} predicts {len(held - asked)} conditions that the truth does not test, such as "
                f"{context}/{perturbation}; they are ignored"
            )
    if train is None:
        notes.append(
            "without --train there is no mean effect, no principal component and no scaled value: those metrics are unsupported"
        )
    notes.append(
        "the harness did not train these models: if one saw the controls listed as 'reference' in controls.csv, its changes "
        "share their noise with the truth's and score too high"
    )
    return notes


def _roles(truth: CellFile, split: Split) -> pd.DataFrame:
    """List which control cells were input (I) and which reference (R)."""
    rows = {c.context: (c.control_a, c.control_b) for c in split.conditions}
    return pd.concat(
        [
            pd.DataFrame({"context": context, "cell": truth.obs.index[where], "role": role})
            for context, sides in rows.items()
            for role, where in zip(("input", "reference"), sides, strict=True)
        ],
        ignore_index=True,
    )


def _task(table: pd.DataFrame, wish: Wish) -> pd.DataFrame:
    return table.assign(
        suite="external",
        dataset=wish.truth.stem,
        source=wish.source,
        protocol="external",
        direction=wish.direction,
        fold=0,
    )
