"""Scores of prediction files: the same tables as a run of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from baselines.shared.moved_cells import CellsToMove
from benchmarks.contract import CONTROL, Direction, Prediction
from benchmarks.data.download import sha256_of
from benchmarks.data.readers.elements import InMemory
from benchmarks.data.readers.h5ad import Keys, hints
from benchmarks.data.readers.labels import Labelling
from benchmarks.data.row_hashes import row_hashes
from benchmarks.data.schema import Space
from benchmarks.data.store import atomic_files
from benchmarks.data.store.content_hash import ContentHash
from benchmarks.data.store.folder_digests import write_sums
from benchmarks.errors import ContractError, DataError
from benchmarks.scoring.cell_sets import mean_profile, take
from benchmarks.scoring.evaluate import condition_facts, metric_table, score_rows
from benchmarks.scoring.external import prediction_files
from benchmarks.scoring.external.prediction_files import CellFile, predict_from, read_cells
from benchmarks.scoring.references import REFERENCES, Calibration, calibrate, few
from benchmarks.scoring.result_folder import write_results
from benchmarks.scoring.scored_fold import ScoredFold, Start, scored_fold_of
from benchmarks.scoring.scored_set import Block, BlockedFold, Profiles, ScoredSet, scratch
from benchmarks.scoring.summaries import PredictionSummary, summarise_cells, summarise_predictions
from benchmarks.scoring.training_summary import summarise_training
from benchmarks.tasks.splits import Split
from reports.tables import COST_COLUMNS, GROUP, SCORE_COLUMNS

GENES, STARTS = ("all", "shared"), ("", "truth", "prediction")
SOURCES: tuple[Literal["real", "simulated"], ...] = ("real", "simulated")
"""Values of the fields of `ScoringRequest`."""
TAKEN = {"no_change", "train_mean", *REFERENCES}
"""Names that no prediction may have."""


@dataclass(frozen=True)
class ScoringRequest:
    """What is to be scored, and how."""

    predictions: tuple[Path | InMemory, ...]
    truth: Path | InMemory
    train: Path | InMemory | None = None
    names: tuple[str, ...] = ()
    """What the predictions are called; empty: as their files."""
    keys: Keys = field(default_factory=lambda: Keys("perturbation", labelling=Labelling("+")))
    """Where the labels and gene names are, in all files."""
    space: Space | None = None
    direction: Direction = "n2p"
    genes: str = "all"
    """"all": every file must have the truth's genes; "shared": those that all files have."""
    start: str = ""
    """Where the predicted change starts: "truth" (the truth's input controls), "prediction" (the prediction file's own
    control cells), or "" for the truth's, provided the prediction has no other controls."""
    source: str = "real"
    calibrate: bool = True
    """Whether to score references and planted predictors too."""
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Scored:
    """Result tables of a request, and notes for their reader."""

    scores: pd.DataFrame
    planted: pd.DataFrame | None
    conditions: pd.DataFrame
    controls: pd.DataFrame | None
    """Which control cells were input and which reference."""
    notes: tuple[str, ...]
    manifest: Mapping[str, object]
    """What was scored, and how: files with sha256, what their values are and why, labels, seed."""
    metrics: pd.DataFrame | None = None
    """The metrics, as metrics.csv; None: those of this project."""

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables of a results folder, by name."""
        found = {
            "scores": self.scores,
            "planted": self.planted,
            "conditions": self.conditions,
            "controls": self.controls,
            "costs": pd.DataFrame(columns=list(COST_COLUMNS)),
            "metrics": metric_table() if self.metrics is None else self.metrics,
        }
        return {name: table for name, table in found.items() if table is not None}


def score_files(request: ScoringRequest) -> Scored:
    """Score predictions against true cells; raises `DataError` for what cannot be compared, with what to do."""
    names = request.names or tuple(p.stem for p in request.predictions)
    if not names:
        raise DataError("There is no prediction to score; give at least one.")
    if len(set(names)) < len(names) or TAKEN & set(names) or not all(names):
        raise DataError(
            f"Predictions are named {', '.join(map(repr, names))}; give each a name of its own, none of "
            f"{', '.join(sorted(TAKEN))}."
        )
    if request.start == "prediction" and request.direction != "n2p":
        raise DataError("--start prediction needs --direction n2p: in p2n a prediction starts from perturbed cells.")
    true_cells, predictions, train = _open(request)
    split, notes = prediction_files.split_of(true_cells, request.seed)
    notes += prediction_files.check_training(true_cells, train, split) if train else []
    for file in (*predictions, *([train] if train else [])):
        notes += prediction_files.check_scale(true_cells, file)
    seed, threads = request.seed, request.threads
    with threadpool_limits(threads):
        training = summarise_training(train, np.arange(len(train.obs)), seed, split.conditions) if train else None
        fold = scored_fold_of(
            true_cells, split, request.direction, training, space=true_cells.X.space, seed=seed, threads=threads
        )
        blocked = BlockedFold(fold)
        calibration = calibrate(blocked) if request.calibrate else Calibration({}, pd.DataFrame())
        facts = blocked.facts()
        with scratch() as means:
            truth = blocked.profiles(means)
            tables = [
                *_baselines(blocked, truth),
                *(_score(blocked, truth, n, p, request) for n, p in zip(names, predictions, strict=True)),
            ]
    for name, values in calibration.references.items():
        tables.append(score_rows(fold, values, fold.endings()).assign(model=name, kind="reference"))
    labels = (request.truth.stem, request.source, "external", request.direction, 0)
    task = dict(zip((*GROUP, "fold"), ("external", *labels), strict=True))
    scores = pd.concat(tables, ignore_index=True).assign(**task, seed=0, budget="unknown", audit="not audited")
    return Scored(
        scores=scores[list(SCORE_COLUMNS)],
        planted=calibration.planted.assign(**task) if request.calibrate else None,
        conditions=condition_facts(fold, facts.n_significant_genes, facts.bandwidths).assign(**task),
        controls=_roles(true_cells, split),
        notes=tuple(
            dict.fromkeys([*notes, *_notes(fold, (true_cells, *predictions, *([train] if train else [])), request)])
        ),
        manifest=_manifest(request, true_cells, *predictions, *([train] if train else [])),
    )


def write(scored: Scored, folder: Path, *, figures: bool = True) -> None:
    """Write tables, page and figures; raises `StoreError` if they cannot be written."""
    atomic_files.write_json(folder / "manifest.json", dict(scored.manifest))
    write_results(folder, scored.tables, scored.notes, figures=figures)
    write_sums(folder)


def _open(request: ScoringRequest) -> tuple[CellFile, list[CellFile], CellFile | None]:
    """Open truth, predictions and training cells, all with the same genes."""
    paths = (request.truth, *request.predictions, *([request.train] if request.train else []))
    predicted = (False, *(True for _ in request.predictions), False)
    truth, *others = (
        read_cells(path, request.keys, request.space, predicted=flag)
        for path, flag in zip(paths, predicted, strict=False)
    )
    genes = prediction_files.shared_genes([truth, *others]) if request.genes == "shared" else truth.var_names
    truth, *others = (file.with_genes(genes) for file in (truth, *(other.like(truth) for other in others)))
    train = others.pop() if request.train else None
    for prediction in others if not request.start else []:
        prediction_files.check_controls(truth, prediction)
    return truth, others, train


def _baselines(blocked: BlockedFold, truth: Profiles) -> list[pd.DataFrame]:
    """Score the input itself and, where training cells are known, the mean effect of their perturbations."""

    def copied(block: Block) -> PredictionSummary:
        inputs = [c.input(block.fold.direction) for c in block.fold.conditions]
        return summarise_cells(block.fold, block.truth, inputs.__getitem__)

    def moved(block: Block) -> PredictionSummary:
        fold, effect = block.fold, block.fold.mean_effect()
        if effect is None:
            raise ValueError("There is no mean effect without training cells.")

        def load(number: int) -> Prediction:
            cells, distance = fold.sets.recent.get(("to move", fold.setting(number)), partial(_to_move, fold, number))
            return Prediction(cells.by(effect[number] + distance), unit="cell")

        return summarise_predictions(fold, block.truth, load)

    predictors = {"no_change": copied} | ({"train_mean": moved} if blocked.fold.training else {})
    tables = []
    for name, predict in predictors.items():
        with scratch() as file:
            scored = ScoredSet(blocked.fold, file)
            for block in blocked.blocks():
                scored.add(block, predict(block))
            rows = score_rows(blocked.fold, scored.all(truth), blocked.fold.endings())
        tables.append(rows.assign(model=name, kind="model"))
    return tables


def _to_move(fold: ScoredFold, number: int) -> tuple[CellsToMove, np.ndarray]:
    """Draw as many input cells of a condition as a model is given, and how far their mean is from that of all [gene]."""
    own = few(fold, fold.conditions[number].input(fold.direction))
    return CellsToMove(take(fold.cells, own)), fold.start[number] - fold.sets.mean(own)


def _score(blocked: BlockedFold, truth: Profiles, name: str, file: CellFile, request: ScoringRequest) -> pd.DataFrame:
    """Score one file; a condition without finite predictions is a failure with a reason."""
    fold, endings = blocked.fold, blocked.fold.endings()
    starts = _own_starts(fold, file) if request.start == "prediction" else {}

    def load(first: int, number: int) -> Prediction | None:
        ending = endings[first + number]
        try:
            found = predict_from(file, ending.context, ending.perturbation, ending.dose)
            reason = f"no prediction in {file.name}"
        except (DataError, ContractError) as error:
            found, reason = None, str(error)
        if found is None:
            endings[first + number] = replace(ending, status="failed", reason=reason)
        return found

    def start(part: ScoredFold) -> Start | list[np.ndarray]:
        return [starts[context] for context in part.contexts] if starts else "start"

    with scratch() as means:
        scored = ScoredSet(fold, means)
        for block in blocked.blocks():
            predicted = summarise_predictions(block.fold, block.truth, partial(load, block.numbers.start))
            scored.add(block, predicted, start=start(block.fold))
        return score_rows(fold, scored.all(truth, start(fold)), endings).assign(model=name, kind="model")


def _own_starts(fold: ScoredFold, file: CellFile) -> dict[str, np.ndarray]:
    """Context → mean profile of the prediction file's own controls."""
    means = {}
    for context in sorted(set(fold.contexts)):
        own = file.positions(context, CONTROL)
        if not len(own):
            raise DataError(
                f"{file.name} has no control cells of context {context}, which --start prediction needs; add them, or "
                "leave --start at truth."
            )
        means[context] = mean_profile(take(file, own))
    return means


def _notes(fold: ScoredFold, files: Sequence[CellFile], request: ScoringRequest) -> list[str]:
    """Collect what a reader of the numbers must know; `files` are the truth, the predictions and the training cells."""
    tested = {(c.context, c.perturbation, c.dose) for c in fold.conditions}
    notes = [f"{file.name} holds {file.X.space}: {file.why}." for file in files]
    notes += [note for file in files for note in file.notes]
    for file in files[1 : 1 + len(request.predictions)]:
        notes += prediction_files.tell_untested(files[0], file, tested)
        means = [key for key in file.conditions() if len(file.positions(*key)) == 1]
        if file.X.space == "counts" and means:
            notes.append(
                f"{file.name} has one row of counts for {len(means)} conditions: the logarithm of a mean is not the mean of "
                "logarithms, which the truth has. Give mean logarithms, or cells."
            )
    if not request.train:
        notes.append(
            "Without --train there is no mean effect, no principal component and no scaled value: those metrics are unsupported."
        )
    notes += hints(files[0].X.file, request.keys, ("--context-key", "--dose-key"))
    notes.append(
        "The harness did not train these models: if one saw the controls listed as 'reference' in controls.csv, its changes "
        "share their noise with the truth's and score too high."
    )
    return notes


def _manifest(request: ScoringRequest, *files: CellFile) -> dict[str, object]:
    paths = (request.truth, *request.predictions, *([request.train] if request.train else []))
    described = [
        {**_origin(path, file), "values": file.X.space, "why": file.why}
        for path, file in zip(paths, files, strict=True)
    ]
    return {
        "files": described,
        "keys": asdict(request.keys),
        **{name: getattr(request, name) for name in ("direction", "genes", "start", "source", "calibrate", "seed")},
        "version": version("cycseq-bench"),
    }


def _origin(path: Path | InMemory, file: CellFile) -> dict[str, str]:
    """Say where cells are from, with the sha256 of the file; of cells in memory with a hash of values, labels and genes."""
    if isinstance(path, Path):
        return {"path": str(path), "sha256": sha256_of(path)}
    digest = ContentHash().finish(row_hashes(file.X.values), file.obs, file.X.genes.names)
    return {"in_memory": path.name, "digest": digest}


def _roles(truth: CellFile, split: Split) -> pd.DataFrame:
    """List which control cells were input (I) and which reference (R)."""
    tables = [
        pd.DataFrame({"context": c.context, "cell": truth.obs.index[where], "role": role})
        for c in {c.context: c for c in split.conditions}.values()
        for role, where in (("input", c.control_a), ("reference", c.control_b))
    ]
    return pd.concat(tables, ignore_index=True)
