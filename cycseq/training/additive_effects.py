"""The additive estimate of every change: mean + context + perturbation, each shrunk by what its noise explains.

Per gene, the change of perturbation p in context c is T_cp = m + w_c + v_p + ε_cp, with normal m, w, v and ε: a mixed
model. Its variances are h_g · (m², u, v, e) plus the sampling noise of the cells; a context's controls are shared by all
its changes, so their noise is part of w_c and is taken out again. The estimate is the best linear predictor of m + u_c +
v_p: it says something of pairs never seen together, and says less the less there is to go by.

With doses d each of m, w and v is a straight line in log10(d): an intercept and a slope, with variances of their own. So a
step between two doses is the mean step, moved by what the context and the perturbation did at the doses that were seen.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from cycseq.data.cell_reader import CELLS_AT_ONCE, Values
from cycseq.data.sampling import CellGroup, Mask, group_cells
from cycseq.data.vocabulary import NO_PERTURBATION, Cells, Vocabulary
from cycseq.model import Effects

POOLED = 0.2
"""Weight of the mean over genes in a gene's own signal variance; chosen on simulated screens."""
SWEEPS = 30
"""Most rounds of the block solution; each takes the largest error down severalfold."""
TOLERANCE = 1e-4
"""The solution is done when no value moves by more than this, in log2 units."""
LEAST_VARIANCE = 1e-6
"""Floor of a gene's noise variance, in (log2 units)²: a gene that never varies has no signal either."""


Labels = Int[np.ndarray, " change"]
Noise = Float[np.ndarray, " change"]
Genes = Float[np.ndarray, " gene"]
Terms = Float[np.ndarray, " term"]
ChangeGenes = Float[np.ndarray, "change gene"]


class _Changes(NamedTuple):
    """Measured changes, one row for each trained (context, perturbation), or for each of its doses."""

    values: ChangeGenes
    context: Labels
    p: Labels
    own: Noise
    """Noise of the perturbed cells, as a share of one cell's variance: 1 / cells."""
    control: Noise
    """The same of the controls."""
    noise: Genes
    """Variance of one cell within its condition."""
    terms: Float[np.ndarray, "change term"]
    """What each term is multiplied by: 1, and with doses log10 of the dose less its mean."""


class _Variances(NamedTuple):
    """Mean over genes of the variances of m, u and v, by term, and of e."""

    mean: Terms
    context: Terms
    perturbation: Terms
    rest: float


def estimate(cells: Cells, vocabulary: Vocabulary, keep: Mask) -> Effects:
    """Estimate the additive effects from the kept cells; every context with perturbed cells has controls."""
    of_batch = vocabulary.context_of_batch
    centre = float(cells.dose[keep & (cells.perturbation != NO_PERTURBATION)].mean()) if vocabulary.dosed else 0.0
    changes = _changes(cells, of_batch, keep, centre if vocabulary.dosed else None)
    sizes = len(vocabulary.contexts), len(vocabulary.perturbations)
    mean, own, common = _solve(changes, _variances(changes, sizes), _signal(changes), sizes)
    return Effects((mean + own)[of_batch].astype(np.float32), common.astype(np.float32), centre)


def _changes(cells: Cells, of_batch: Int[np.ndarray, " batch"], keep: Mask, centre: float | None) -> _Changes:
    """Measure changes within batches, and average them over a context's batches by perturbed cells.

    `centre` is taken off the doses (log10 of nM); None for cells without.
    """
    groups = group_cells(cells, keep)
    b, p = (np.array([getattr(group, name) for group in groups]) for name in ("batch", "perturbation"))
    size = np.array([len(group.members) for group in groups], dtype=np.float64)
    means, noise = _moments(cells.x, groups)
    control, context = p == NO_PERTURBATION, of_batch[b]
    rows: defaultdict[tuple[int, int, float], list[int]] = defaultdict(list)
    for row in np.flatnonzero(~control):
        rows[int(context[row]), int(p[row]), groups[row].dose].append(int(row))
    measured = []
    for (c, _, _), own in rows.items():
        pools = [control & (b == b[row]) for row in own]  # a batch without controls takes all of its context
        pools = [np.flatnonzero(pool if pool.any() else control & (context == c)) for pool in pools]
        share = size[own] / size[own].sum()
        against = np.stack([size[pool] @ means[pool] / size[pool].sum() for pool in pools])
        shared = np.square(share) @ np.array([1 / size[pool].sum() for pool in pools])
        measured.append((share @ (means[own] - against), 1 / size[own].sum(), shared))
    values, own_noise, control_noise = (np.array(part) for part in zip(*measured, strict=True))
    contexts, perturbations, doses = (np.array(part) for part in zip(*rows, strict=True))
    terms = [np.ones(len(rows)), *([] if centre is None else [doses - centre])]
    return _Changes(values, contexts, perturbations, own_noise, control_noise, noise, np.stack(terms, axis=1))


def _moments(x: Values, groups: list[CellGroup]) -> tuple[Float[np.ndarray, "condition gene"], Genes]:
    """Mean of each condition, and the variance of a cell within its condition, pooled over conditions."""
    size = np.array([len(group.members) for group in groups])
    means, squares = np.zeros((len(groups), x.shape[1])), np.zeros(x.shape[1])
    for total, group in zip(means, groups, strict=True):
        for members in np.split(group.members, range(CELLS_AT_ONCE, len(group.members), CELLS_AT_ONCE)):
            own = x[members]
            np.add.at(total, own.indices, own.data.astype(np.float64))
            np.add.at(squares, own.indices, np.square(own.data.astype(np.float64)))
    means /= size[:, None]
    variance = (squares - size @ np.square(means)) / max(size.sum() - len(groups), 1)
    return means, np.maximum(variance, LEAST_VARIANCE)


def _signal(changes: _Changes) -> Genes:
    """Variance of a gene's true changes over their mean over genes: mean 1, all 1 where there is no signal at all."""
    sampling = (changes.own + changes.control).mean() * changes.noise
    raw = np.maximum(np.square(changes.values).mean(axis=0) - sampling, 0)
    pooled = (1 - POOLED) * raw + POOLED * raw.mean()
    return pooled / pooled.mean() if pooled.any() else np.ones_like(pooled)


def _variances(changes: _Changes, sizes: tuple[int, int]) -> _Variances:
    """Variances by the method of moments: products of changes that share a context, a perturbation, or neither.

    Products of pairs of changes are regressed on the products of their terms; with one term that is their mean. Pairs that
    share both (two doses) are left out: what a perturbation does in one context only is in them.
    """
    noise = changes.noise.mean()
    control, own = noise * changes.control.mean(), noise * changes.own.mean()
    both = changes.context * sizes[1] + changes.p
    every, within, across, same = (
        _products(changes, label) for label in (np.zeros_like(both), changes.context, changes.p, both)
    )
    of_c, of_p, of_neither = within - same, across - same, every - within - across + same
    same_p = np.maximum(_coefficients(of_p), 0)
    first = np.arange(changes.terms.shape[1]) == 0
    same_c = np.maximum(_coefficients(of_c) - control * (first & (of_c[0, 1] > 0)), 0)
    known = [part for part in (of_neither, of_p) if part[0, 1] > 0]
    mean = np.maximum(_coefficients(known[0]), 0) if known else same_c
    context, perturbation = np.maximum(same_c - mean, 0), np.maximum(same_p - mean, 0)
    powers = np.square(changes.terms).mean(axis=0)
    total = np.square(changes.values).sum() / changes.values.size
    rest = float(max(total - powers @ (mean + context + perturbation) - control - own, 0))
    if of_p[0, 1] > 0:
        return _Variances(mean, context, perturbation, rest)
    # one context each: what is a perturbation's own cannot be separated
    return _Variances(mean, context, np.full_like(mean, rest / powers.sum()), 0.0)


def _products(changes: _Changes, label: Labels) -> Float[np.ndarray, "term 1+term"]:
    """Normal equations of products of different changes with the same label, over the products of their terms.

    The first column are sums over pairs, the rest sums of the products of their terms; the first of these is the number of
    pairs. The pairs are not formed.
    """
    names, codes = np.unique(label, return_inverse=True)
    size, n_genes = len(names), changes.values.shape[1]
    terms, squares = changes.terms, np.square(changes.values).sum(axis=1)
    sums = [
        np.square(_sums(term[:, None] * changes.values, codes, size)).sum() - np.square(term) @ squares
        for term in terms.T
    ]
    outer = terms[:, :, None] * terms[:, None, :]  # [change, term, term]
    of_label = _sums(outer.reshape(len(terms), -1), codes, size).reshape(size, *outer.shape[1:])
    pairs = np.square(of_label).sum(axis=0) - np.square(outer).sum(axis=0)
    return np.column_stack([np.array(sums) / n_genes, pairs])


def _coefficients(products: Float[np.ndarray, "term 1+term"]) -> Terms:
    """Least-squares coefficient of each term; 0 where there are no pairs."""
    return np.linalg.lstsq(products[:, 1:], products[:, 0], rcond=1e-9)[0]


def _solve(
    changes: _Changes, parts: _Variances, signal: Genes, sizes: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict m [term, gene], u [context, term, gene] and v [perturbation, term, gene], by turns, each given the others."""
    precision = 1 / (parts.rest * signal + changes.own[:, None] * changes.noise)  # [change, gene]
    # controls' noise of each context, the mean over its changes; it is shared by them, and no part of a slope
    counts = np.maximum(np.bincount(changes.context, minlength=sizes[0]), 1)
    control = (np.bincount(changes.context, changes.control, sizes[0]) / counts)[:, None] * changes.noise
    true_c = np.repeat(parts.context[None, :, None] * signal, sizes[0], axis=0)  # [context, term, gene]
    spread_c = true_c.copy()  # prior variance of w = u + noise of the controls
    spread_c[:, 0] += control
    blocks = []
    for k, term in enumerate(changes.terms.T[:, :, None]):
        weight = precision * term if k else precision  # the first term is 1; no copy of a large array
        blocks += [
            _Block(term, weight, np.zeros_like(changes.p), 1, parts.mean[k] * signal),
            _Block(term, weight, changes.context, sizes[0], spread_c[:, k]),
            _Block(term, weight, changes.p, sizes[1], parts.perturbation[k] * signal),
        ]
    left = changes.values.copy()  # less all blocks
    for _ in range(SWEEPS):
        before = left.copy()
        for block in blocks:
            block.improve(left)
        if np.abs(left - before).max() < TOLERANCE:
            break
    mean, w, v = (np.stack([block.found for block in blocks[part::3]], axis=1) for part in range(3))
    return mean[0], w * np.divide(true_c, spread_c, out=np.zeros_like(w), where=spread_c > 0), v


class _Block:
    """One term of m, w or v: values [label, gene] that share a prior."""

    def __init__(self, term: np.ndarray, weight: ChangeGenes, label: Labels, size: int, variance: np.ndarray) -> None:
        self.term, self.weight, self.label, self.variance = term, weight, label, variance
        self.total = _sums(weight * term, label, size)
        self.found = np.zeros_like(self.total)

    def improve(self, left: ChangeGenes) -> None:
        """Predict the block's values from what all other blocks leave; `left` is brought up to date in place."""
        left += self.term * self.found[self.label]
        self.found = _shrink(_sums(self.weight * left, self.label, len(self.found)), self.total, self.variance)
        left -= self.term * self.found[self.label]


def _shrink(weighted: np.ndarray, precision: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Posterior mean under a normal prior of mean 0: Σ w y / (Σ w + 1 / variance), 0 where the variance is 0."""
    return variance * weighted / (variance * precision + 1)


def _sums(values: np.ndarray, label: Labels, size: int) -> Float[np.ndarray, "label gene"]:
    out = np.zeros((size, values.shape[1]))
    np.add.at(out, label, values)
    return out
