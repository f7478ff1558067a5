"""Pseudobulk draws and pseudo-pairs: c_s cells a draw, N_R draws a condition (paper 2.2).

A draw is a row of an assignment matrix [draw, cell] whose entries are the cells' weights; draws = assignment · X.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Int

from cycseq.config import TrainConfig
from cycseq.data.cell_reader import CELLS_AT_ONCE, Values
from cycseq.data.loader import PairBatch, Rows
from cycseq.data.vocabulary import CONTROL, NO_PERTURBATION, Cells, Vocabulary
from cycseq.errors import DataError

MIN_CELLS_TO_SPLIT = 4
"""A condition of fewer cells has none to spare for validation."""
VALIDATION_DRAWS = 4
"""Validation draws of each condition."""
Members = Int[np.ndarray, " cell"]
Mask = Bool[np.ndarray, " cell"]


class CellGroup(NamedTuple):
    """Cells that share (context, batch), perturbation and dose."""

    batch: int
    perturbation: int
    dose: float
    members: Members


@dataclass(frozen=True)
class Pairs:
    """Pseudo-pairs (k, r): a perturbed draw and a control draw of the same context and batch, labelled k."""

    x: Values
    """Expression of all cells [cell, gene], which need not be in memory."""
    control: sp.csr_matrix
    """Assignment of cells to control draws [pair, cell]; rows sum to 1."""
    perturbed: sp.csr_matrix
    """Assignment of cells to perturbed draws [pair, cell]; rows sum to 1."""
    p: Int[np.ndarray, " pair"]
    b: Int[np.ndarray, " pair"]
    dose: Float[np.ndarray, "pair dose"]

    def __len__(self) -> int:
        return len(self.p)

    @property
    def n_genes(self) -> int:
        """Genes of a draw."""
        return self.x.shape[1]

    @property
    def fingerprint(self) -> str:
        """Hash of the cells' expression, their assignment to draws and the draws' labels."""
        found = sha256(f"{self.x.digest} {len(self)}".encode())
        matrices = [(m.indptr, m.indices, m.data) for m in (self.control, self.perturbed)]
        for array in (*(part for parts in matrices for part in parts), self.p, self.b, self.dose):
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def take(self, rows: Rows) -> PairBatch:
        """Compute the draws of some pairs; about `CELLS_AT_ONCE` cells are in memory at a time.

        Pairs are in the order of their conditions, so that those next to each other are made of the same cells.
        """
        control, perturbed = np.empty((2, len(rows), self.n_genes), dtype=np.float32)
        at_once = max(1, CELLS_AT_ONCE * len(self) // (self.control.nnz + self.perturbed.nnz))
        order = np.argsort(rows, kind="stable")
        for places in np.split(order, range(at_once, len(order), at_once)):
            sides = [side[rows[places]] for side in (self.control, self.perturbed)]
            cells = np.unique(np.concatenate([side.indices for side in sides]))
            x = self.x[cells]
            for out, side in zip((control, perturbed), sides, strict=True):
                own = (side.data, np.searchsorted(cells, side.indices), side.indptr)
                out[places] = average(sp.csr_matrix(own, shape=(len(places), len(cells))), x)
        return PairBatch(*map(torch.from_numpy, (control, perturbed, self.p[rows], self.b[rows], self.dose[rows])))

    def prefetch(self, rows: Rows) -> None:
        """Do nothing: `take` reads the cells."""


def average(assignment: sp.csr_matrix, x: sp.csr_matrix) -> Float[np.ndarray, "draw gene"]:
    """Average cells into draws: assignment [draw, cell] times X [cell, gene], dense float32."""
    return np.asarray((assignment @ x).toarray(), dtype=np.float32)


def pick(n_cells: int, size: int, n_draws: int, rng: np.random.Generator) -> Int[np.ndarray, "draw size"]:
    """Choose `size` of `n_cells` positions for each draw: without replacement unless there are fewer cells."""
    if n_cells < size:
        return rng.integers(n_cells, size=(n_draws, size))
    return rng.random((n_draws, n_cells)).argpartition(size - 1, axis=1)[:, :size]


def assign(members: Int[np.ndarray, "draw size"], n_cells: int) -> sp.csr_matrix:
    """Write draws, given as cell positions, as an assignment matrix [draw, cell] whose rows sum to 1."""
    n_draws, size = members.shape
    weights = np.full(members.size, 1 / size, dtype=np.float32)
    starts = np.arange(0, members.size + 1, size)
    matrix = sp.csr_matrix((weights, members.ravel(), starts), shape=(n_draws, n_cells))
    matrix.sum_duplicates()
    return matrix


def group_cells(cells: Cells, keep: Mask) -> list[CellGroup]:
    """Group the kept cells by (context, batch), perturbation and dose; controls are conditions too."""
    kept = np.flatnonzero(keep)
    if not len(kept):
        return []
    keys = np.stack([cells.batch[kept], cells.perturbation[kept], cells.dose[kept]], axis=1)
    unique, of_cell = np.unique(keys, axis=0, return_inverse=True)
    members = np.split(kept[np.argsort(of_cell.ravel(), kind="stable")], np.cumsum(np.bincount(of_cell.ravel()))[:-1])
    return [CellGroup(int(b), int(p), float(dose), own) for (b, p, dose), own in zip(unique, members, strict=True)]


def split_cells(cells: Cells, vocabulary: Vocabulary, share: float, seed: int) -> Mask:
    """Mark validation cells: `share` of each condition's cells, at least one where it has `MIN_CELLS_TO_SPLIT`.

    The choice depends on the seed and the condition's own name and cells only, so that fine-tuning on one context
    keeps out the cells that pre-training kept out.
    """
    held = np.zeros(len(cells.batch), dtype=bool)
    for batch, perturbation, dose, members in group_cells(cells, ~held):
        if len(members) < MIN_CELLS_TO_SPLIT:
            continue
        name = "control" if perturbation == NO_PERTURBATION else "perturbed " + vocabulary.perturbations[perturbation]
        key = sha256(repr((seed, vocabulary.batches[batch], name, dose)).encode()).digest()
        rng = np.random.default_rng(int.from_bytes(key[:8], "little"))
        held[rng.permutation(members)[: max(1, round(share * len(members)))]] = True
    return held


def split_conditions(cells: Cells, vocabulary: Vocabulary, share: float, seed: int, folds: int = 1) -> list[Mask]:
    """Mark validation cells: all cells of `share` of the (context, perturbation) pairs, and that share of the controls.

    Every perturbation held out of a context is still trained in another one. No pair is held out in two folds; there are
    as many folds, up to `folds`, as there are pairs to spare, and none if there is no such pair.
    """
    context, perturbed = vocabulary.context_of_batch[cells.batch], cells.perturbation != NO_PERTURBATION
    pairs = np.unique(np.stack([context, cells.perturbation], axis=1)[perturbed], axis=0)
    contexts_of, wanted = np.bincount(pairs[:, 1]), max(1, round(share * len(pairs)))
    waiting = [(c, p) for c, p in np.random.default_rng(seed).permutation(pairs) if contexts_of[p] > 1]
    controls = split_cells(cells, vocabulary, share, seed) & ~perturbed
    found: list[Mask] = []
    while waiting and len(found) < folds:
        left, chosen, held = contexts_of.copy(), list[tuple[int, int]](), controls.copy()
        for c, p in waiting:
            if len(chosen) < wanted and left[p] > 1:
                left[p] -= 1
                chosen.append((c, p))
                held |= (context == c) & (cells.perturbation == p)
        waiting = [pair for pair in waiting if pair not in chosen]
        found.append(held)
    return found


def hold_out(cells: Cells, vocabulary: Vocabulary, config: TrainConfig, seed: int) -> list[Mask]:
    """Mark the validation cells of each fold as `config` has it; one fold of cells where no condition can be spared."""
    share = config.validation_share
    if config.validation == "conditions" and (found := split_conditions(cells, vocabulary, share, seed, config.folds)):
        return found
    return [split_cells(cells, vocabulary, share, seed)]


def training_pairs(
    cells: Cells, vocabulary: Vocabulary, held: Mask, config: TrainConfig, seed: int
) -> tuple[Pairs, Pairs]:
    """Draw the pairs to train on, and those to validate on from the held-out cells; no cell is in both."""
    rng = np.random.default_rng(seed)
    few = replace(config, draws_per_condition=VALIDATION_DRAWS)
    return make_pairs(cells, vocabulary, ~held, config, rng), make_pairs(cells, vocabulary, held, few, rng)


def make_pairs(
    cells: Cells, vocabulary: Vocabulary, keep: Mask, config: TrainConfig, rng: np.random.Generator
) -> Pairs:
    """Draw the pseudo-pairs of all conditions from the kept cells only.

    Raises `DataError` if no perturbed cells are kept, or a context has no control cells.
    """
    groups = group_cells(cells, keep)
    controls = {group.batch: group.members for group in groups if group.perturbation == NO_PERTURBATION}
    perturbed = [group for group in groups if group.perturbation != NO_PERTURBATION]
    if not perturbed:
        raise DataError(
            f"No condition has perturbed cells to draw from; expected at least {MIN_CELLS_TO_SPLIT} in one."
        )
    single = config.unit == "cell"
    size = 1 if single else config.cells_per_draw
    times = [len(group.members) if single else config.draws_per_condition for group in perturbed]
    ends = np.cumsum(times)
    of_control, of_perturbed = (np.empty((ends[-1], size), dtype=np.int32) for _ in range(2))
    for group, n_draws, end in zip(perturbed, times, ends, strict=True):
        own, pool, rows = group.members, _control_pool(controls, group.batch, vocabulary), slice(end - n_draws, end)
        of_perturbed[rows] = own[:, None] if single else own[pick(len(own), size, n_draws, rng)]
        of_control[rows] = pool[pick(len(pool), size, n_draws, rng)]
    doses = np.repeat(np.array([group.dose for group in perturbed], dtype=np.float32), times)
    return Pairs(
        cells.x,
        assign(of_control, len(keep)),
        assign(of_perturbed, len(keep)),
        np.repeat(np.array([group.perturbation for group in perturbed]), times),
        np.repeat(np.array([group.batch for group in perturbed]), times),
        doses[:, None] if vocabulary.dosed else np.zeros((len(doses), 0), dtype=np.float32),
    )


def _control_pool(controls: dict[int, Members], batch: int, vocabulary: Vocabulary) -> Members:
    """Control cells of a batch; a batch without takes those of its context."""
    if batch in controls:
        return controls[batch]
    context = vocabulary.batches[batch][0]
    pools = [controls[index] for index in vocabulary.batches_of(context) if index in controls]
    if not pools:
        raise DataError(
            f"Context '{context}' has no control cells to pair its perturbed cells with; expected cells labelled "
            f"'{CONTROL}' in every context."
        )
    return np.concatenate(pools)


def query_draws(
    batches: Members, size: int, rng: np.random.Generator
) -> tuple[sp.csr_matrix, Int[np.ndarray, " draw"]]:
    """Divide the cells of a query into draws of `size` cells: each cell in exactly one draw, draws within one batch.

    There are n_cells // size draws, or one for each batch if that is more; they are shared out among the batches in
    proportion to their cells (largest remainder), so that the mean over draws is close to the mean over cells. Returns the
    assignment [draw, cell], whose rows sum to 1, and the batch of each draw.
    """
    names, of_cell, n_cells = np.unique(batches, return_inverse=True, return_counts=True)
    quota = n_cells * (len(batches) // size) / len(batches)
    n_draws = np.maximum(1, np.floor(quota)).astype(np.int64)
    while n_draws.sum() < len(batches) // size:
        n_draws[np.argmax(quota - n_draws)] += 1
    first = np.concatenate([[0], np.cumsum(n_draws)[:-1]])
    draw_of_cell = np.empty(len(batches), dtype=np.int64)
    for index in range(len(names)):
        own = rng.permutation(np.flatnonzero(of_cell == index))
        draw_of_cell[own] = first[index] + np.arange(len(own)) * n_draws[index] // len(own)
    weights = (1 / np.bincount(draw_of_cell))[draw_of_cell].astype(np.float32)
    places = draw_of_cell, np.arange(len(batches))
    return sp.csr_matrix((weights, places), shape=(int(n_draws.sum()), len(batches))), np.repeat(names, n_draws)
