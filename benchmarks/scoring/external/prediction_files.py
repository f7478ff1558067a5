"""Predictions and truth in h5ad files of any tool, brought to one form, compared, and read one condition at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.contract import CONTROL, Prediction
from benchmarks.data.expression_space import convert
from benchmarks.data.readers.elements import InMemory, elements_of
from benchmarks.data.readers.gene_columns import GeneMap, match_genes
from benchmarks.data.readers.h5ad import H5ad, Keys, open_h5ad, tell_h5ad_space
from benchmarks.data.readers.labels import likely
from benchmarks.data.readers.value_space import ASSUMED
from benchmarks.data.row_hashes import table_hashes
from benchmarks.data.schema import Space, check_values
from benchmarks.errors import DataError
from benchmarks.scoring.cell_sets import mean_profile, take
from benchmarks.seeds import derive
from benchmarks.tasks.splits import Split, TestCondition

IN_MEMORY = 2 << 30
"""Bytes up to which a file's values are read at once, as stored; of larger files rows are read when they are needed."""
MIN_CELLS = 4
"""Controls that a context needs, and true cells below which a condition has no halves and is left out."""
FEW = 20
"""Conditions, and cells of each, of which levels are compared."""
MUCH = 1.25
"""Factor between the levels of two files above which a note is written."""
ALIKE, NEAR = 0.9, 0.07
"""Profiles so alike (cosine) whose levels differ by ln 2, so nearly, are logarithms to two bases."""
BLOCK = 2048
"""Cells whose digests are computed at a time."""


@dataclass(frozen=True)
class LazyRows:
    """Rows of a file's matrix, in the truth's gene order and log2 units; checked and converted as they are taken."""

    file: H5ad
    values: sp.csr_matrix | np.ndarray | None
    """All of the matrix, or None: rows are read from the file."""
    genes: GeneMap
    columns: np.ndarray
    """Genes that are compared, as positions in `genes.names`."""
    space: Space
    predicted: bool

    def __getitem__(self, positions: np.ndarray) -> sp.csr_matrix:
        rows, source = self.file.positions[np.asarray(positions)], str(self.file.path)
        if self.values is not None:
            x = sp.csr_matrix(self.values[rows])
        else:
            with elements_of(self.file.path) as elements:
                x = elements.matrix(self.file.layer)[rows]
        x = self.genes.apply(x)
        check_values(x, source, self.space, predicted=self.predicted)
        # counts are scaled over the genes that are compared, because files with different genes have different totals
        same = np.array_equal(self.columns, np.arange(x.shape[1]))
        try:
            return convert(x if same else x[:, self.columns], self.space)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


@dataclass(frozen=True)
class CellFile:
    """Cells of one file: labels in memory, values too where they fit."""

    name: str
    obs: pd.DataFrame
    """Canonical labels."""
    var_names: pd.Index
    X: LazyRows
    why: str
    """Why the values are taken as they are."""
    notes: tuple[str, ...]

    def positions(self, context: str, perturbation: str, dose: float | None = None) -> np.ndarray:
        """Positions of a condition's cells, ascending; `dose` in nM, None for conditions without one."""
        key = context, perturbation, -1.0 if dose is None else dose
        return self._places.get(key, np.array([], dtype=np.int64))

    def conditions(self) -> list[tuple[str, str, float | None]]:
        """(context, perturbation, dose) of every condition but controls, sorted."""
        keys = sorted(key for key in self._places if key[1] != CONTROL)
        return [(context, name, None if dose < 0 else dose) for context, name, dose in keys]

    @cached_property
    def _places(self) -> dict[tuple[str, str, float], np.ndarray]:
        keys = self.obs[["context", "perturbation"]].astype(str).assign(dose=self.obs["dose"].fillna(-1.0))
        return dict(keys.groupby(["context", "perturbation", "dose"], sort=False).indices)

    def with_genes(self, genes: pd.Index) -> CellFile:
        """Select genes by name, in this order; raises `DataError` where one is missing."""
        place = self.var_names.get_indexer(genes)
        if (place < 0).any():
            missing = genes[place < 0]
            found = match_genes(missing, self.var_names)
            like = next((f" ('{own}' of '{self.name}' may be '{name}')" for name, own in found.items()), "")
            raise DataError(
                f"{self.name}: {len(missing)} of the truth's {len(genes)} genes are missing, such as '{missing[0]}'{like}. Give "
                "a value for every gene, name the column of var with the same names with --gene-key, or use --genes shared "
                "to score on the genes that all files have."
            )
        return replace(self, var_names=genes, X=replace(self.X, columns=self.X.columns[place]))

    def like(self, truth: CellFile) -> CellFile:
        """Take assumed logarithms as the truth's; raises `DataError` where the two files hold different things."""
        if self.why.startswith(ASSUMED) and truth.X.space in ("ln", "log2"):
            why = f"{ASSUMED}: fractions, taken as {truth.name}'s"
            return replace(self, X=replace(self.X, space=truth.X.space), why=why)
        if truth.X.space != self.X.space:
            raise DataError(
                f"{self.name} holds {self.X.space} ({self.why}), {truth.name} {truth.X.space} ({truth.why}), in the words of "
                "--space. Bring both to one space, or give --space where the detected one is wrong."
            )
        return self


def read_cells(path: Path | InMemory, keys: Keys, space: Space | None = None, *, predicted: bool = False) -> CellFile:
    """Open an h5ad file, or an AnnData in memory [cell, gene]; values are loaded as stored where they fit (`IN_MEMORY`).

    Parameters
    ----------
    keys
        Where the labels and gene names are.
    space
        What the matrix holds; None: found from the file, see `value_space.tell_space`.
    predicted
        Whether the cells are predicted: these may have fractions among counts and logarithms below 0.

    Raises
    ------
    DataError
        A file that cannot be read, missing columns or labels, or values that no space has.
    """
    told, why = (space, "given with --space") if space else tell_h5ad_space(path, keys.layer)
    notes: list[str] = []
    file = open_h5ad(path, keys, told, notes, whole=False)
    with elements_of(path) as elements:
        matrix = elements.matrix(keys.layer)
        values = matrix.load() if matrix.in_memory or matrix.nbytes <= IN_MEMORY else None
    genes = np.arange(len(file.genes.names))
    rows = LazyRows(file, values, file.genes, genes, told, predicted)
    return CellFile(path.name, file.obs, file.genes.names, rows, why, tuple(notes))


def predict_from(prediction: CellFile, context: str, perturbation: str, dose: float | None = None) -> Prediction | None:
    """Read what a file predicts for a condition: cells, or one row as a mean profile; None where there is nothing.

    Raises `DataError` for values that the file's space cannot have.
    """
    where = prediction.positions(context, perturbation, dose)
    if not len(where):
        return None
    return Prediction(prediction.X[where], unit="mean" if len(where) == 1 else "cell")


def shared_genes(files: Sequence[CellFile]) -> pd.Index:
    """Genes that all files have, in the first one's order; raises `DataError` where there are fewer than two."""
    genes = files[0].var_names
    for other in files[1:]:
        genes = genes[genes.isin(other.var_names)]
    if len(genes) < 2:
        raise DataError(f"The files share {len(genes)} genes; are the gene names of one kind (symbols or Ensembl ids)?")
    return genes


def check_controls(truth: CellFile, prediction: CellFile) -> None:
    """Raise `DataError` for predictions with other control cells than the truth's.

    A change is measured from controls: a model that started from other cells has its change measured from these.
    """
    for context in sorted(set(prediction.obs["context"].astype(str))):
        own, true = prediction.positions(context, CONTROL), truth.positions(context, CONTROL)
        if not len(own) or not len(true):
            continue
        gap = float(np.abs(mean_profile(take(prediction, own)) - mean_profile(take(truth, true))).max())
        if gap > 1e-3:
            raise DataError(
                f"{prediction.name}: its {len(own)} control cells of context {context} are not the {len(true)} of "
                f"{truth.name} (means differ by up to {gap:.3g} log2). If the model started from the truth's controls, use "
                "--start truth (or leave controls out of the prediction); if from its own, use --start prediction."
            )


def check_scale(truth: CellFile, other: CellFile) -> list[str]:
    """Compare the level of values where both files have cells of one condition, or else controls; returns a note on a difference.

    Raises `DataError` where the values were assumed to be on the truth's scale and are to it as ln is to log2.
    """
    if truth.X.space == "zscore":
        return []
    keys = [key for key in other.conditions() if len(truth.positions(*key))]
    shared = [(truth.positions(*key)[:FEW], other.positions(*key)[:FEW]) for key in keys[:FEW]]
    controls = [np.flatnonzero(file.obs["is_control"].to_numpy())[: FEW * FEW] for file in (truth, other)]
    levels = [_levels(truth, own, other, others) for own, others in shared or [(controls[0], controls[1])]]
    true, given = (np.concatenate([np.zeros(1), *(pair[side] for pair in levels if pair)]) for side in (0, 1))
    if not (true.any() and given.any()):
        return []
    factor, alike = given.sum() / true.sum(), true @ given / np.sqrt((true @ true) * (given @ given))
    if 1 / MUCH < factor < MUCH:
        return []
    told = f"{other.name}: its values are on average {factor:.2f} times those of {truth.name}"
    bases = min(abs(factor * base - 1) for base in (np.log(2), 1 / np.log(2)))
    if shared and alike > ALIKE and bases < NEAR and other.why.startswith(ASSUMED):
        raise DataError(
            f"{told}, gene by gene, as logarithms to base e are to those to base 2. Bring both to one base; where they are "
            "meant so, say with --space what all files hold."
        )
    return [f"{told}; are both on one scale (the same logarithm, counts scaled to one sum, levels and not changes)?"]


def _levels(
    truth: CellFile, own: np.ndarray, other: CellFile, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean profiles of some cells of each file; None where there are none, or their values are none of the file's space."""
    if not len(own) or not len(others):
        return None
    try:
        return mean_profile(take(truth, own)), mean_profile(take(other, others))
    except DataError:  # said again, and counted, where the condition is scored
        return None


def tell_untested(truth: CellFile, prediction: CellFile, tested: set[tuple[str, str, float | None]]) -> list[str]:
    """Note what a file predicts that the truth does not test, and what of it the truth may have under another spelling."""
    others = [key for key in prediction.conditions() if key not in tested]
    if not others:
        return []
    spelled = {_key(key): key for key in tested}
    like = next(((key, spelled[_key(key)]) for key in others if _key(key) in spelled), None)
    hint = f"'{_name(like[0])}' may be the truth's '{_name(like[1])}': write both alike" if like else "they are ignored"
    return [
        f"{prediction.name} predicts {len(others)} conditions that the truth does not test, such as {_name(others[0])}; {hint}."
    ]


def _key(condition: tuple[str, str, float | None]) -> tuple[str, str, float | None]:
    """Spell a condition without case, blanks and signs."""
    context, perturbation, dose = condition
    return plain(context), "+".join(sorted(plain(part) for part in perturbation.split("+"))), dose


def plain(name: str) -> str:
    """Spell a name without case, blanks and signs: "K-562" is "k562"."""
    return re.sub(r"[\W_]", "", name.casefold()) or name


def _name(condition: tuple[str, str, float | None]) -> str:
    context, perturbation, dose = condition
    return f"{context}/{perturbation}" + ("" if dose is None else f" {dose:g} nM")


def check_training(truth: CellFile, train: CellFile, split: Split) -> list[str]:
    """Check that training cells say what is known without the test cells; returns notes for the reader.

    Raises
    ------
    DataError
        No control among them, contexts that are the truth's in other case, or true perturbed cells among them.
    """
    contexts, known = set(truth.obs["context"].astype(str)), set(train.obs["context"].astype(str))
    controlled = set(train.obs.loc[train.obs["is_control"], "context"].astype(str))
    labels = likely(set(train.obs["perturbation"].astype(str)))
    if not controlled:
        raise DataError(
            f"{train.name}: no training cell is a control, so there is no mean effect; its labels are such as {labels}. Name "
            "the control's label with --control (several times for several), or add the controls."
        )
    folded = {plain(name): name for name in known - contexts}
    other = [(name, folded[plain(name)]) for name in sorted(contexts - known) if plain(name) in folded]
    if other:
        raise DataError(
            f"{truth.name} has context '{other[0][0]}' and {train.name} '{other[0][1]}'; write the same context alike in both."
        )
    doses = {condition.dose for condition in split.conditions if condition.dose is not None}
    absent = sorted(doses - set(train.obs["dose"].dropna()))
    if absent:
        raise DataError(
            f"{train.name} has no cell at {absent[0]:g} nM, so there is no mean effect at this dose; add such cells."
        )
    tested = np.unique(
        np.concatenate(
            [part for condition in split.conditions for part in (condition.perturbed_a, condition.perturbed_b)]
        )
    )
    hashes = table_hashes(train)
    shared = int(np.isin(table_hashes(truth, tested), hashes).sum())
    if shared:
        raise DataError(
            f"{train.name} holds {shared} of the {len(tested)} true perturbed cells of {truth.name}: what is learned from them "
            "is no prediction. Leave them out of the training file."
        )
    notes = []
    reference = np.unique(np.concatenate([condition.control_b for condition in split.conditions]))
    seen = int(np.isin(table_hashes(truth, reference), hashes).sum())
    if seen:
        notes.append(
            f"{train.name} holds {seen} of the {len(reference)} reference controls of {truth.name}: a model trained on them "
            "shares their noise with the truth, and its changes score too high."
        )
    if known - controlled:
        notes.append(
            f"{train.name}: no controls in context {', '.join(sorted(known - controlled)[:8])}; it has no mean effect."
        )
    if not contexts & known:
        notes.append(
            f"{train.name} has none of the truth's contexts; train_mean is the mean effect over all of its contexts."
        )
    return notes


def split_of(truth: CellFile, seed: int) -> tuple[Split, list[str]]:
    """Make every perturbation of the truth a test condition, controls split in I and R; also says what was left out and why.

    Raises `DataError` for a context with fewer than `MIN_CELLS` controls, or where no condition is left.
    """
    found, notes = [], []
    names = likely(set(truth.obs["perturbation"].astype(str)))
    for context in sorted(set(truth.obs["context"].astype(str))):
        controls = truth.positions(context, CONTROL)
        if len(controls) < MIN_CELLS:
            raise DataError(
                f"{truth.name}: context {context} has {len(controls)} control cells; at least {MIN_CELLS} are needed, half as "
                f"input and half as reference. Its labels are such as {names}; name the control's with --control, or another "
                "column with --perturbation-key."
            )
        start = _halves(controls, derive(seed, "controls", context))
        for own, perturbation, dose in truth.conditions():
            if own != context:
                continue
            cells = truth.positions(context, perturbation, dose)
            at = () if dose is None else (f"{dose:g} nM",)
            if len(cells) < MIN_CELLS:
                what = "/".join((context, perturbation, *at))
                notes.append(f"{what} is not tested: it has {len(cells)} true cells, {MIN_CELLS} are needed.")
            else:
                halves = _halves(cells, derive(seed, "cells", context, perturbation, *at))
                found.append(TestCondition(context, perturbation, *start, *halves, dose=dose))
    if not found:
        raise DataError(f"{truth.name}: no condition with at least {MIN_CELLS} cells beside the control.")
    return Split("external", 0, False, np.array([], dtype=int), tuple(found), frozenset()), notes


def _halves(positions: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array_split(np.random.default_rng(seed).permutation(positions), 2)
    return np.sort(first), np.sort(second)
